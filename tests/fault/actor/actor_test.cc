// Actors as separate processes (this binary) that are killed, stopped, silenced or lose messages.
// The learner still gets every result, equal to a direct run. The log of the failpoints proves that
// each fault happened.
#include "actor/actor.h"

#include <csignal>
#include <cstdlib>
#include <fstream>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/lifecycle.h"
#include "common/rpc/channel.h"
#include "learner/rollout/rollout_server.h"
#include "tests/learner_side.h"
#include "tests/mailbox.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/units.h"

namespace mentor::TEST_FILE {

using mentor::testing::LearnerSide;
using mentor::testing::PointReachUnit;
using mentor::testing::Run;
using mentor::testing::Signal;
using mentor::testing::TempFolder;

// The children run this; hidden from plain runs.
TEST_CASE("an actor as a process", "[.]") {
  BlockStopSignals();
  const char* address = std::getenv("MENTOR_TEST_LEARNER");
  REQUIRE(address != nullptr);
  const auto metrics = Metrics::Create();
  const auto channel = rpc::MakeChannel({.address = address});
  REQUIRE(channel.ok());
  actor::Actor actor({.threads = 1, .channel = [&] { return *channel; }}, metrics.get());
  WaitForStopSignal();
  actor.Stop();
}

class ActorProcess {
 public:
  ActorProcess(const std::string& address, const std::string& failpoints, const std::string& log) {
    std::vector<std::string> variables = {"MENTOR_TEST_LEARNER=" + address};
    if (!failpoints.empty()) {
      variables.push_back("MENTOR_FAILPOINTS=" + failpoints);
      variables.push_back("MENTOR_FAILPOINT_LOG=" + log);
    }
    for (const char* name : {"PATH", "HOME", "LD_LIBRARY_PATH"}) {
      if (const char* value = std::getenv(name))
        variables.push_back(std::string(name) + "=" + value);
    }
    std::vector<char*> environment;
    for (std::string& variable : variables) environment.push_back(variable.data());
    environment.push_back(nullptr);
    std::string program = "test", test = "an actor as a process";
    char* const arguments[] = {program.data(), test.data(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    const int error =
        posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, arguments, environment.data());
    posix_spawn_file_actions_destroy(&actions);
    REQUIRE(error == 0);
  }
  ~ActorProcess() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      Wait();
    }
  }
  ActorProcess(const ActorProcess&) = delete;
  ActorProcess& operator=(const ActorProcess&) = delete;

  void Send(int signal) { kill(pid_, signal); }
  // The status of waitpid.
  int Wait() {
    int status = 0;
    waitpid(std::exchange(pid_, 0), &status, 0);
    return status;
  }

 private:
  pid_t pid_ = 0;
};

std::vector<v1::Unit> Units(uint32_t count, uint32_t steps) {
  std::vector<v1::Unit> units;
  for (uint32_t i = 0; i < count; ++i) units.push_back(PointReachUnit(i, steps + i));
  return units;
}

std::string Read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_CASE("fault: an actor is killed at each of its failpoints", "[fault]") {
  const std::pair<const char*, int> points[] = {{"actor.unit.received", 3},
                                                {"actor.unit.step", 200},
                                                {"actor.result.before_send", 4},
                                                {"actor.result.after_send", 2}};
  for (const auto& [point, hit] : points) {
    INFO(point);
    const TempFolder folder;
    const std::string log = folder.path() / "log";
    LearnerSide learner;
    Run run(learner, Units(40, 120));
    ActorProcess doomed(learner.server->address(),
                        std::string(point) + "=" + std::to_string(hit) + ":kill", log);
    const int status = doomed.Wait();
    CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
    CHECK(Read(log) == std::string(point) + " " + std::to_string(hit) + " kill\n");
    Signal().WaitUntil(
        [&] { return learner.Value("mentor_rollout_peer_deaths_total{cause=\"closed\"}") == 1; });
    ActorProcess healthy(learner.server->address(), "", "");
    run.CheckEqualToDirect();
    CHECK(learner.Value("mentor_rollout_reissued_total{reason=\"lost\"}") >= 1);
  }
}

TEST_CASE("fault: a stopped actor is noticed, its units go to another one, and it comes back",
          "[fault]") {
  learner::RolloutServer::Options options;
  options.stream.dead_after = std::chrono::milliseconds(2500);
  LearnerSide learner(options);
  ActorProcess stopped(learner.server->address(), "", "");
  Signal().WaitUntil([&] { return learner.rollout.actors() == 1; });
  Run run(learner, Units(200, 5000));
  Signal().WaitUntil(
      [&] { return learner.Value("mentor_rollout_results_total{outcome=\"used\"}") >= 3; });
  stopped.Send(SIGSTOP);
  Signal().WaitUntil(
      [&] { return learner.Value("mentor_rollout_peer_deaths_total{cause=\"heartbeat\"}") == 1; });
  ActorProcess healthy(learner.server->address(), "", "");
  run.CheckEqualToDirect();
  stopped.Send(SIGCONT);
  Signal().WaitUntil([&] { return learner.rollout.actors() == 2; });
}

TEST_CASE("fault: SIGTERM drains an actor: it says good-bye and ends with 0", "[fault]") {
  LearnerSide learner;
  ActorProcess leaving(learner.server->address(), "", "");
  Run run(learner, Units(200, 5000));
  Signal().WaitUntil(
      [&] { return learner.Value("mentor_rollout_results_total{outcome=\"used\"}") >= 3; });
  leaving.Send(SIGTERM);
  const int status = leaving.Wait();
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  Signal().WaitUntil([&] { return learner.rollout.actors() == 0; });
  for (const char* cause : {"closed", "heartbeat", "violation"}) {
    CHECK(learner.Value("mentor_rollout_peer_deaths_total{cause=\"" + std::string(cause) + "\"}") ==
          0);
  }
  ActorProcess healthy(learner.server->address(), "", "");
  run.CheckEqualToDirect();
}

TEST_CASE("fault: an actor without heartbeats is dead, however well its connection is", "[fault]") {
  const TempFolder folder;
  const std::string log = folder.path() / "log";
  learner::RolloutServer::Options options;
  options.stream.dead_after = std::chrono::milliseconds(2500);
  LearnerSide learner(options);
  ActorProcess silent(learner.server->address(), "rpc.heartbeat.skip=*:error(x)", log);
  Signal().WaitUntil(
      [&] { return learner.Value("mentor_rollout_peer_deaths_total{cause=\"heartbeat\"}") >= 1; });
  CHECK(Read(log).find("rpc.heartbeat.skip 1 error(x)\n") == 0);
}

TEST_CASE("fault: a unit that is lost on the way lags and goes to another actor", "[fault]") {
  const TempFolder folder;
  const std::string log = folder.path() / "log";
  learner::RolloutServer::Options options;
  options.dispatcher.lag_min = std::chrono::milliseconds(300);
  LearnerSide learner(options);
  // The first message that the actor reads is the welcome, the second a unit.
  ActorProcess forgetful(learner.server->address(), "rpc.read.drop=2:error(x)", log);
  Signal().WaitUntil([&] { return learner.rollout.actors() == 1; });
  Run run(learner, Units(1, 100));
  Signal().WaitUntil([&] { return Read(log) == "rpc.read.drop 2 error(x)\n"; });
  ActorProcess other(learner.server->address(), "", "");
  run.CheckEqualToDirect();
  CHECK(learner.Value("mentor_rollout_reissued_total{reason=\"lagging\"}") >= 1);
}

TEST_CASE("fault: a damaged long result ends the stream, and the unit is done again", "[fault]") {
  const TempFolder folder;
  const std::string log = folder.path() / "log";
  LearnerSide learner;
  ActorProcess actor(learner.server->address(), "rpc.chunk.corrupt=2:error(x)", log);
  Run run(learner, Units(3, 60'000));  // Over 2 MB each.
  run.CheckEqualToDirect();
  CHECK(Read(log) == "rpc.chunk.corrupt 2 error(x)\n");
  CHECK(learner.Value("mentor_rollout_peer_deaths_total{cause=\"violation\"}") == 1);
}

TEST_CASE("fault: a unit that fails once is done again", "[fault]") {
  const TempFolder folder;
  const std::string log = folder.path() / "log";
  LearnerSide learner;
  ActorProcess actor(learner.server->address(), "actor.unit.step=50:error(a cosmic ray)", log);
  Run run(learner, Units(5, 100));
  run.CheckEqualToDirect();
  CHECK(Read(log) == "actor.unit.step 50 error(a cosmic ray)\n");
  CHECK(learner.Value("mentor_rollout_results_total{outcome=\"error\"}") == 1);
}

}  // namespace mentor::TEST_FILE
