// The real program against a server in this process.
#include <csignal>
#include <fstream>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/file.h"
#include "common/rpc/server.h"
#include "common/spec.h"
#include "meta_learner/control/experiment_service.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

using namespace mentor;
using namespace mentor::meta_learner;
using mentor::testing::TempFolder;
using S = v1::Experiment;

namespace {

using mentor::testing::Contains;

struct Outcome {
  int code = -1;
  std::string out, err;
};

// A running program; Wait gives its exit code and what it wrote.
class Program {
 public:
  Program(const TempFolder& folder, const std::vector<std::string>& arguments)
      : out_(folder.path() / "out"), err_(folder.path() / "err") {
    const std::string binary = MENTOR_BIN_DIR "/mentorctl";
    if (access(binary.c_str(), X_OK) != 0) throw std::runtime_error(binary + " is not built");
    pid_ = fork();
    if (pid_ != 0) return;
    dup2(open(out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
    dup2(open(err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
    std::vector<char*> argv = {const_cast<char*>(binary.c_str())};
    for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    execv(binary.c_str(), argv.data());
    _exit(127);
  }
  ~Program() {
    if (pid_ > 0) kill(pid_, SIGKILL), waitpid(pid_, nullptr, 0);
  }
  void Signal(int signal) { kill(pid_, signal); }
  Outcome Wait() {
    int status = 0;
    waitpid(std::exchange(pid_, 0), &status, 0);
    return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status),
            .out = Read(out_),
            .err = Read(err_)};
  }
  // Waits until the program has written a text to its standard output or error.
  bool WaitForText(const std::string& text) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < deadline) {
      if (Read(out_).find(text) != text.npos || Read(err_).find(text) != text.npos) return true;
      std::this_thread::yield();
    }
    return false;
  }

 private:
  static std::string Read(const std::filesystem::path& path) {
    const auto text = ReadFile(path, 1 << 20);
    return text.ok() ? *text : "";
  }

  const std::filesystem::path out_, err_;
  pid_t pid_ = 0;
};

class Fixture {
 public:
  Fixture() {
    spec_ = (folder_.path() / "spec.txtpb").string();
    std::ofstream(spec_)
        << "display_name: 'a title' benchmark { name: 'point_reach' } rule { outer_updates: 4 }";
    Start("127.0.0.1:0");
  }
  ~Fixture() { Stop(); }

  void Start(const std::string& address) {
    store_ = *OpenStore(folder_.path() / "state");
    metrics_ = Metrics::Create();
    service_ = std::make_unique<ExperimentService>(
        ExperimentService::Options{.store = store_.get(),
                                   .check_spec =
                                       [](const v1::ExperimentSpec& spec, Violations* violations) {
                                         if (spec.benchmark().name() != "point_reach") {
                                           violations->Add("benchmark.name",
                                                           "is unknown; give point_reach");
                                         }
                                       }},
        metrics_.get());
    auto server = rpc::Server::Start({.address = address}, {service_->service()});
    INFO(server.status().ToString());
    REQUIRE(server.ok());
    server_ = *std::move(server);
    address_ = server_->address();
  }
  void Stop() {
    if (service_ == nullptr) return;
    service_->Stop();
    server_->Shutdown(std::chrono::seconds(5));
    server_.reset();
    service_.reset();
    store_.reset();
  }

  std::unique_ptr<Program> Begin(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--server", address_});
    return std::make_unique<Program>(folder_, arguments);
  }
  Outcome Run(const std::vector<std::string>& arguments) { return Begin(arguments)->Wait(); }

  const TempFolder& folder() const { return folder_; }
  const std::string& spec() const { return spec_; }
  const std::string& address() const { return address_; }
  ExperimentStore* store() { return store_.get(); }

 private:
  const TempFolder folder_;
  std::string spec_, address_;
  std::unique_ptr<ExperimentStore> store_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<ExperimentService> service_;
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace

TEST_CASE("mentorctl: create, get, list, cancel", "[loopback]") {
  Fixture fixture;
  const Outcome made = fixture.Run({"create", "-f", fixture.spec(), "--id", "one", "--set",
                                    "seed=7", "--set", "rule.learning_rate=1e-3"});
  INFO(made.err);
  CHECK(made.code == 0);
  CHECK(made.out == "experiments/one created; 'mentorctl watch one' shows its progress\n");
  const auto stored = fixture.store()->Get("experiments/one");
  CHECK(stored->spec().seed() == 7);
  CHECK(stored->spec().rule().option(0).value() == "1e-3");

  const Outcome got = fixture.Run({"get", "one"});
  CHECK(got.code == 0);
  CHECK(Contains(got.out, "Name       experiments/one\n"));
  CHECK(Contains(got.out, "State      QUEUED\n"));
  CHECK(Contains(got.out, "Updates    0/4\n"));
  const Outcome spec = fixture.Run({"get", "experiments/one", "--spec"});
  CHECK(SpecHash(*LoadSpec(spec.out)) == SpecHash(stored->spec()));

  const Outcome list = fixture.Run({"list"});
  CHECK(Contains(list.out, "NAME  STATE   UPDATES  STEPS/S  CREATED"));
  CHECK(Contains(list.out, "one   QUEUED  0/4"));
  CHECK(Contains(list.out, "a title"));
  const Outcome json = fixture.Run({"list", "--output", "json"});
  CHECK(Contains(json.out, "{\"name\":\"experiments/one\""));
  CHECK(std::count(json.out.begin(), json.out.end(), '\n') == 1);

  CHECK(fixture.Run({"cancel", "one"}).out == "experiments/one CANCELLED\n");
  CHECK(fixture.Run({"cancel", "one"}).code == 0);  // Repeating changes nothing.
}

TEST_CASE("mentorctl: more experiments than a page", "[loopback]") {
  Fixture fixture;
  for (int i = 0; i < 205; ++i) {
    REQUIRE(fixture.store()->Create({.spec = *LoadSpec("benchmark { name: 'point_reach' }")}).ok());
  }
  const Outcome list = fixture.Run({"list"});
  CHECK(std::count(list.out.begin(), list.out.end(), '\n') == 206);
}

TEST_CASE("mentorctl: errors say reason, sentence and hint, and have their exit codes",
          "[loopback]") {
  Fixture fixture;
  const Outcome missing = fixture.Run({"get", "none"});
  CHECK(missing.code == 3);
  CHECK(Contains(missing.err, "error: NOT_FOUND: there is no experiment 'experiments/none'"));
  CHECK(Contains(missing.err, "hint: 'mentorctl list' shows what there is\n"));
  CHECK(fixture.Run({"watch", "none"}).code == 3);
  CHECK(fixture.Run({"cancel", "none"}).code == 3);

  REQUIRE(fixture.Run({"create", "-f", fixture.spec(), "--id", "one"}).code == 0);
  const Outcome again = fixture.Run({"create", "-f", fixture.spec(), "--id", "one"});
  CHECK(again.code == 5);
  CHECK(Contains(again.err, "error: ALREADY_EXISTS: "));

  CHECK(fixture.Run({"frobnicate"}).code == 2);
  CHECK(fixture.Run({"get"}).code == 2);
  CHECK(fixture.Run({"list", "--output", "xml"}).code == 2);
  CHECK(fixture.Run({"create", "-f", "/nowhere/at/all"}).code == 2);
  CHECK(fixture.Run({"--help"}).code == 0);
  CHECK(Contains(fixture.Run({"--help"}).out, "Examples:"));

  const Outcome json = fixture.Run({"get", "none", "--output", "json"});
  CHECK(json.code == 3);
  CHECK(Contains(json.err, "{\"code\":5,"));
  CHECK(Contains(json.err, "\"reason\":\"NOT_FOUND\""));

  const std::string address = fixture.address();
  fixture.Stop();
  const Outcome gone = fixture.Run({"list", "--timeout", "1"});
  CHECK(gone.code == 6);
  CHECK(Contains(gone.err, "hint: is mentor-meta-learner running at " + address));
}

TEST_CASE(
    "mentorctl: a wrong spec is answered with everything that is wrong, also what only the server "
    "knows",
    "[loopback]") {
  Fixture fixture;
  const Outcome wrong =
      fixture.Run({"create", "-f", fixture.spec(), "--set", "benchmark.name=nowhere", "--set",
                   "agent.gamma=2", "--set", "agent.epochs=many"});
  CHECK(wrong.code == 2);
  INFO(wrong.err);
  CHECK(Contains(wrong.err, "error: INVALID_FIELD: the request has 3 wrong fields\n"));
  CHECK(
      Contains(wrong.err,
               "  agent.epochs: is 'many'; give an integer from 1 to 10000; the default is 64\n"));
  CHECK(Contains(wrong.err,
                 "  agent.gamma: is 2; give a finite number from 0 to 1; the default is 0.99\n"));
  CHECK(Contains(wrong.err, "  benchmark.name: is unknown; give point_reach\n"));
  CHECK(fixture.store()->List(0, "")->experiments.empty());

  CHECK(fixture.Run({"create", "-f", fixture.spec(), "--validate_only"}).out ==
        fixture.spec() + " is valid\n");
  CHECK(
      fixture.Run({"create", "-f", fixture.spec(), "--validate_only", "--set", "benchmark.name=x"})
          .code == 2);
  CHECK(fixture.store()->List(0, "")->experiments.empty());
}

TEST_CASE(
    "mentorctl: watch shows progress, survives a restart of the server and ends with the "
    "experiment",
    "[loopback]") {
  Fixture fixture;
  REQUIRE(fixture.Run({"create", "-f", fixture.spec(), "--id", "one"}).code == 0);
  auto watch = fixture.Begin({"watch", "one"});
  REQUIRE(watch->WaitForText("QUEUED  [----------------------------------------]  0/4 updates"));
  const std::string address = fixture.address();
  fixture.Stop();
  REQUIRE(watch->WaitForText("lost the server ("));
  fixture.Start(address);
  REQUIRE(fixture.store()->Transition("experiments/one", {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  REQUIRE(
      fixture.store()->Transition("experiments/one", {S::STATE_RUNNING}, S::STATE_SUCCEEDED).ok());
  const Outcome end = watch->Wait();
  CHECK(end.code == 0);
  CHECK(Contains(end.out, "experiments/one SUCCEEDED\n"));
}

TEST_CASE("mentorctl: create --wait tells success from failure by its exit code", "[loopback]") {
  Fixture fixture;
  auto wait = fixture.Begin({"create", "-f", fixture.spec(), "--id", "one", "--wait"});
  REQUIRE(wait->WaitForText("experiments/one created\n"));
  REQUIRE(fixture.store()->Transition("experiments/one", {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
  REQUIRE(fixture.store()
              ->Transition("experiments/one", {S::STATE_RUNNING}, S::STATE_FAILED, "a reason")
              .ok());
  const Outcome end = wait->Wait();
  CHECK(end.code == 7);
  CHECK(Contains(end.out, "experiments/one FAILED: a reason\n"));
}

TEST_CASE("mentorctl: Ctrl-C ends the watch, not the experiment", "[loopback]") {
  Fixture fixture;
  REQUIRE(fixture.Run({"create", "-f", fixture.spec(), "--id", "one"}).code == 0);
  auto watch = fixture.Begin({"watch", "one"});
  REQUIRE(watch->WaitForText("QUEUED"));
  watch->Signal(SIGINT);
  const Outcome end = watch->Wait();
  CHECK(end.code == 130);
  CHECK(Contains(end.err, "experiments/one goes on; 'mentorctl watch one' shows it again\n"));
  CHECK(fixture.store()->Get("experiments/one")->state() == S::STATE_QUEUED);
}
