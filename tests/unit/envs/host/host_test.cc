// Environments in other processes: the results of a good simulator, and the end of bad ones.
#include <cerrno>
#include <chrono>
#include <cmath>
#include <functional>
#include <string>

#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/check.h"
#include "common/hosts.h"
#include "envs/benchmark.h"
#include "envs/host/host_environment.h"
#include "envs/host/host_process.h"
#include "tests/environments.h"
#include "tests/hosts/offered_hosts.h"

namespace mentor::envs::TEST_FILE {

using std::chrono::milliseconds;
using testing::ExampleHost;
using testing::HostileFacts;
using testing::HostileHost;
using testing::HostileTask;
using testing::HostTask;
using testing::OfferedHosts;

constexpr RandomStream kReset{.seed = 3, .purpose = Purpose::kEnvironmentReset};

std::string Text(const absl::Status& status) {
  return std::string(status.message());
}

// All that an episode goes through to its end, a save point within it; the first error.
absl::Status LiveThrough(const v1::EnvironmentTask& task) {
  MENTOR_ASSIGN_OR_RETURN(const auto environment, MakeEnvironment(task));
  std::vector<double> observation(environment->info().observation_size);
  const std::vector<float> action(environment->info().action_size, 0.5f);
  MENTOR_RETURN_IF_ERROR(environment->Reset(kReset, 0, observation));
  for (int t = 0; t < environment->info().episode_steps; ++t) {
    if (t == 10 && environment->info().saves_state) {
      MENTOR_ASSIGN_OR_RETURN(const std::string state, environment->SaveState());
      MENTOR_RETURN_IF_ERROR(environment->RestoreState(state, observation));
    }
    MENTOR_ASSIGN_OR_RETURN(const StepOutcome outcome, environment->Step(action, observation));
    if (outcome.terminated || outcome.truncated) break;
  }
  return environment->Reset(kReset, 1, observation);
}

// True if the process ends within the limit.
bool EndsWithin(int pid, milliseconds limit) {
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (handle < 0) return errno == ESRCH;
  pollfd ended = {handle, POLLIN, 0};
  const bool gone = poll(&ended, 1, static_cast<int>(limit.count())) == 1;
  close(handle);
  return gone;
}

TEST_CASE("hosts: a flag is a name and words", "[unit]") {
  const auto host = ParseSimulator("gym='/opt/my python' -m \"a b\"c  d");
  REQUIRE(host.ok());
  CHECK(host->name == "gym");
  CHECK(host->command == std::vector<std::string>{"/opt/my python", "-m", "a bc", "d"});
  CHECK(ParseSimulator("a=b $(c) ;d")->command == std::vector<std::string>{"b", "$(c)", ";d"});
  for (const char* bad : {"gym", "=x", "Gym=x", "gym=", "gym=  ", "gym='x", "g m=x", "gym=''"}) {
    INFO(bad);
    CHECK(absl::IsInvalidArgument(ParseSimulator(bad).status()));
  }
  CHECK(Text(AllowSimulators({"a=x", "a=y"}, 1)) ==
        "--simulator a is given twice; remove one of the two");
  const OfferedHosts offered({ExampleHost()});
  CHECK(SimulatorNames() == std::vector<std::string>{"block"});
  CHECK_FALSE(FindSimulator("hostile"));
}

TEST_CASE("hosts: facts are checked, and read again as the same", "[unit]") {
  const v1::EnvironmentFacts facts = HostileFacts();
  const auto read = ParseFacts(FactsText(facts));
  REQUIRE(read.ok());
  CHECK(FactsText(*read) == FactsText(facts));
  CHECK(DifferencesOfFacts(facts, *read).empty());
  v1::EnvironmentFacts other = facts;
  other.set_digest("ab");
  other.set_observation_size(3);
  CHECK(DifferencesOfFacts(other, facts) ==
        "observation_size: 3, expected observation_size: 2; digest: \"ab\", expected no digest");
  const struct {
    std::function<void(v1::EnvironmentFacts*)> change;
    const char* complaint;
  } cases[] = {
      {[](auto* f) { f->set_observation_size(0); }, "observation_size is 0; 1 to 65536"},
      {[](auto* f) { f->set_action_size(1u << 31); }, "action_size is 2147483648; 1 to 4096"},
      {[](auto* f) { f->set_action_size(1), f->set_discrete_actions(true); }, "2 to 4096"},
      {[](auto* f) { f->set_episode_steps(0); }, "episode_steps is 0"},
      {[](auto* f) { f->set_action_low(std::nan("")); }, "no range"},
      {[](auto* f) { f->set_action_low(1); }, "no range of actions"},
      {[](auto* f) { f->set_action_high(1e300); }, "no range of actions"},
      {[](auto* f) { f->set_name(""); }, "name: is missing"},
      {[](auto* f) { f->set_name("a\nb"); }, "name: is no plain text"},
      {[](auto* f) { f->set_digest(std::string(201, 'a')); }, "digest: is no plain text"},
      {[](auto* f) { f->add_parameters()->set_low(1); }, "parameters[0]: 1 to 0 is no range"},
      {[](auto* f) {
         while (f->parameters_size() < 65) f->add_parameters();
       },
       "65 entries"},
  };
  for (const auto& [change, complaint] : cases) {
    v1::EnvironmentFacts bad = facts;
    change(&bad);
    INFO(Text(CheckFacts(bad)));
    CHECK(absl::StrContains(Text(CheckFacts(bad)), complaint));
  }
  CHECK(absl::StrContains(Text(ParseFacts("observation_size: x").status()), "character 19"));
}

TEST_CASE("hosts: an episode is that of its seed, and goes on from its states", "[unit]") {
  const OfferedHosts offered({ExampleHost()});
  const v1::EnvironmentTask task = HostTask("block", {0.25});
  const auto first = MakeEnvironment(task), second = MakeEnvironment(task);
  REQUIRE(first.ok());
  REQUIRE(second.ok());
  CHECK((*first)->info().episode_steps == 40);
  std::vector<double> a(3), b(3);
  REQUIRE((*first)->Reset(kReset, 4, a).ok());
  REQUIRE((*second)->Reset(kReset, 5, b).ok());
  CHECK(a[0] != b[0]);
  CHECK(a[2] == 0.25 - a[0]);
  bool success = false;
  std::string state;
  for (int t = 0; t < 40; ++t) {
    // The first action is beyond its bounds: the simulator sees 1.
    const float push = static_cast<float>(4 * a[2] - 3 * a[1] + (t == 0 ? 9 : 0));
    if (t == 17) {
      const auto saved = (*first)->SaveState();
      REQUIRE(saved.ok());
      state = *saved;
      REQUIRE((*second)->RestoreState(state, b).ok());
      CHECK(*(*second)->SaveState() == state);
    }
    const auto outcome = (*first)->Step(std::vector{push}, a);
    REQUIRE(outcome.ok());
    success |= outcome->success;
    CHECK(outcome->truncated == (t == 39));
    CHECK_FALSE(outcome->terminated);
    if (t < 17) continue;
    const auto same = (*second)->Step(std::vector{push}, b);
    REQUIRE(same.ok());
    CHECK(b == a);
    CHECK(same->reward == outcome->reward);
  }
  CHECK(success);
  CHECK(absl::IsFailedPrecondition((*first)->Step(std::vector{0.0f}, a).status()));

  // States that are not those of this task.
  std::string altered = state;
  altered.back() ^= 1;
  CHECK(absl::IsInvalidArgument((*second)->RestoreState(altered, b)));
  CHECK(absl::IsInvalidArgument((*second)->RestoreState(state.substr(0, 30), b)));
  REQUIRE((*second)->SetTask(HostTask("block", {0.5})).ok());
  CHECK(absl::IsInvalidArgument((*second)->RestoreState(state, b)));
  CHECK(absl::IsInvalidArgument((*second)->SetTask(HostTask("block", {1.5}))));
  CHECK(absl::IsInvalidArgument((*second)->SetTask(HostTask("block"))));
}

TEST_CASE("hosts: a spec learns the facts of hosts that are offered", "[unit]") {
  v1::BenchmarkSpec spec;
  spec.set_name("single");
  spec.set_environment("host");
  *spec.mutable_option() = HostTask("block").options();
  Violations violations;
  CHECK(MakeBenchmark(spec, &violations) == nullptr);
  REQUIRE(violations.list().size() == 1);
  CHECK(absl::StrContains(violations.list()[0].description,
                          "no simulator 'block' is offered here to ask"));
  CHECK_FALSE(*LearnFacts(&spec));
  {
    const OfferedHosts offered({ExampleHost()});
    REQUIRE(LearnFacts(&spec).ok());
    CHECK_FALSE(*LearnFacts(&spec));  // They are there.
  }
  // Without the simulator: sizes, tasks and their checks.
  Violations none;
  const auto benchmark = MakeBenchmark(spec, &none);
  REQUIRE(benchmark != nullptr);
  CHECK(benchmark->info().observation_size == 3);
  CHECK(benchmark->info().independent_episodes);
  const v1::EnvironmentTask task =
      benchmark->Tasks(Split::kTrain)[0].draw({.purpose = Purpose::kTasks}, 7);
  REQUIRE(task.parameters_size() == 1);
  CHECK(std::abs(task.parameters(0)) <= 1);
  CHECK(HostOf(task) == "block");
  CHECK(absl::StrContains(Text(LiveThrough(task)), "simulator 'block' is not offered here"));
  const OfferedHosts offered({ExampleHost()});
  CHECK(LiveThrough(task).ok());
  // Another build of the simulator.
  v1::EnvironmentTask stale = task;
  v1::EnvironmentFacts facts = *ParseFacts(task.options(1).value());
  facts.set_digest("2");
  stale.mutable_options(1)->set_value(FactsText(facts));
  CHECK(absl::StrContains(Text(LiveThrough(stale)),
                          "simulator block is another one than the spec's: digest: \"1\", expected "
                          "digest: \"2\""));
}

TEST_CASE("hosts: without save points, nothing is saved or restored", "[unit]") {
  const OfferedHosts offered({HostileHost("forgetful", "none")});
  v1::EnvironmentFacts facts = HostileFacts();
  facts.set_saves_state(false);
  const auto environment = MakeEnvironment(HostileTask(facts));
  REQUIRE(environment.ok());
  std::vector<double> observation(2);
  REQUIRE((*environment)->Reset(kReset, 0, observation).ok());
  CHECK(absl::IsFailedPrecondition((*environment)->SaveState().status()));
  CHECK(absl::IsFailedPrecondition((*environment)->RestoreState("x", observation)));
  CHECK((*environment)->Step(std::vector<float>(2), observation).ok());
}

TEST_CASE("hosts: one that misbehaves is ended, with its last words", "[unit]") {
  const struct {
    const char *fault, *at, *error;
  } cases[] = {
      {"none", "none", ""},
      {"die", "open", "ended at 'open' (exit status 3); its last words: cannot go on"},
      {"die", "attach", "ended at 'attach' (exit status 3)"},
      {"die", "set_task", "ended at 'set_task' (exit status 3)"},
      {"die", "reset", "ended at 'reset' (exit status 3)"},
      {"die", "step", "ended at 'step' (exit status 3)"},
      {"die", "save", "ended at 'save' (exit status 3)"},
      {"die", "restore", "ended at 'restore' (exit status 3)"},
      {"die", "close", ""},  // It ends, as requested.
      {"abort", "step", "ended at 'step' (exit status 134); it said nothing"},
      {"half", "open", "ended at 'open'"},
      {"half", "step", "ended at 'step'"},
      {"long", "open", "announced 1073741824 bytes"},
      {"long", "step", "announced 1073741824 bytes"},
      {"twice", "open", "said more than one answer at 'open'"},
      {"twice", "step", "said more than one answer at 'step'"},
      {"garbage", "open", "answered 'open' with 5 bytes that are no answer"},
      {"garbage", "step", "answered 'step' with 5 bytes that are no answer"},
      {"empty", "open", "answered 'open' with 0 bytes that are no answer"},
      {"other", "open", "answered 'open' without facts"},
      {"other", "reset", "answered 'reset' with 'state' instead of 'done'"},
      {"other", "step", "answered 'step' with 'state' instead of 'done'"},
      {"other", "save", "answered 'save' with no state"},
      {"no_state", "save", "answered 'save' with no state"},
      {"big_state", "save", "answered 'save' with no state"},
      {"fail", "open", "failed at 'open': not like ?[31mthis"},
      {"fail", "step", "failed at 'step': not like ?[31mthis"},
      {"refuse", "open", "refuses 'open': not like ?[31mthis"},
      {"refuse", "set_task", "refuses 'set_task': not like ?[31mthis"},
      {"refuse", "step", "failed at 'step'"},
      {"flood", "step", "(exit status 4); its last words: f"},
      {"shrink", "step", "(exit status 6); its last words: cannot shrink"},
      {"noisy", "step", ""},
      {"cut", "none", ""},  // An episode may end before its last step.
      {"no_size", "none", "observation_size is 0"},
      {"huge_size", "none", "observation_size is 2147483648"},
      {"nan_bounds", "none", "no range"},
      {"no_steps", "none", "episode_steps is 0"},
      {"bad_name", "none", "name: is no plain text"},
      {"many_ranges", "none", "parameters: has 10000 entries"},
      {"nan", "none", "answered 'reset' with nonsense: observation[1] is nan"},
      {"silent", "none", "answered 'reset' with nonsense: observation[0] was not written"},
      {"infinite_reward", "none", "step 1 of the episode: the reward is inf, which is not finite"},
      {"bad_flag", "none", "answered 'step' with nonsense: the flag 'terminated' is 2"},
  };
  for (const auto& [fault, at, error] : cases) {
    INFO(fault << " at " << at);
    const OfferedHosts offered({HostileHost(fault, at)});
    const absl::Status status = LiveThrough(HostileTask());
    INFO(Text(status));
    CHECK(status.ok() == (*error == 0));
    CHECK(absl::StrContains(Text(status), error));
  }
}

TEST_CASE("hosts: one that hangs is ended when its time is over", "[unit]") {
  for (const char* at : {"open", "attach", "set_task", "reset", "step", "save", "restore"}) {
    INFO(at);
    const OfferedHosts offered({HostileHost("hang", at, std::chrono::seconds(2))});
    const absl::Status status = LiveThrough(HostileTask());
    INFO(Text(status));
    CHECK(absl::StrContains(Text(status), std::string("gave no answer to '") + at +
                                              "' within 2 s; its last words: going to sleep"));
  }
  // A byte now and then is no answer.
  const OfferedHosts offered({HostileHost("drip", "step", std::chrono::seconds(2))});
  CHECK(absl::StrContains(Text(LiveThrough(HostileTask())), "gave no answer to 'step'"));
}

TEST_CASE("hosts: who is asked to end and does not is killed", "[unit]") {
  const OfferedHosts offered({HostileHost("hang", "close")});
  const auto before = std::chrono::steady_clock::now();
  CHECK(LiveThrough(HostileTask()).ok());
  CHECK(std::chrono::steady_clock::now() - before < std::chrono::seconds(30));
}

TEST_CASE("hosts: what speaks out of turn is noticed at the next question", "[unit]") {
  const OfferedHosts offered({HostileHost("later", "reset")});
  const absl::Status status = LiveThrough(HostileTask());
  INFO(Text(status));
  // Just before the next question, or as its answer.
  CHECK((absl::StrContains(Text(status), "spoke without being asked, before 'step'") ||
         absl::StrContains(Text(status), "said more than one answer at 'reset'") ||
         absl::StrContains(Text(status), "answered 'step' with 'nothing' instead of 'done'")));
}

TEST_CASE("hosts: memory that changes late gives numbers or an error", "[unit]") {
  const OfferedHosts offered({HostileHost("late", "step")});
  const absl::Status status = LiveThrough(HostileTask());
  INFO(Text(status));
  CHECK((status.ok() || absl::StrContains(Text(status), "with nonsense")));
}

TEST_CASE("hosts: processes that a host leaves behind end with it", "[unit]") {
  const OfferedHosts offered({HostileHost("child", "step")});
  const std::string error = Text(LiveThrough(HostileTask()));
  INFO(error);
  const size_t begin = error.find("child ");
  REQUIRE(begin != error.npos);
  int pid = 0;
  REQUIRE(absl::SimpleAtoi(error.substr(begin + 6, error.find(' ', begin + 6) - begin - 6), &pid));
  CHECK(EndsWithin(pid, std::chrono::seconds(10)));
}

TEST_CASE("hosts: independent episodes have all their steps", "[unit]") {
  v1::EnvironmentFacts facts = HostileFacts();
  facts.set_independent_episodes(true);
  {
    const OfferedHosts offered({HostileHost("equal", "none")});
    CHECK(LiveThrough(HostileTask(facts)).ok());
  }
  const OfferedHosts offered({HostileHost("short", "none")});
  CHECK(absl::StrContains(Text(LiveThrough(HostileTask(facts))),
                          "the episode ended with step 7, but its facts say that all have 20"));
}

TEST_CASE("hosts: a step without a finite number ends no host, and the episode on request",
          "[unit]") {
  const OfferedHosts offered({HostileHost("infinite_reward", "none")});
  v1::EnvironmentTask task = HostileTask();
  std::vector<double> observation(2);
  const std::vector<float> action(2);
  const auto bare = MakeEnvironment(task);
  REQUIRE(bare.ok());
  for (uint32_t episode = 0; episode < 2; ++episode) {
    REQUIRE((*bare)->Reset(kReset, episode, observation).ok());
    CHECK(absl::IsOutOfRange((*bare)->Step(action, observation).status()));
    CHECK(absl::IsFailedPrecondition((*bare)->Step(action, observation).status()));
  }
  v1::WrapperSpec* wrapper = task.add_wrappers();
  wrapper->set_name("failed_step");
  v1::Option* reward = wrapper->add_option();
  reward->set_name("reward");
  reward->set_value("-3");
  const auto wrapped = MakeEnvironment(task);
  REQUIRE(wrapped.ok());
  CHECK_FALSE((*wrapped)->info().independent_episodes);
  REQUIRE((*wrapped)->Reset(kReset, 0, observation).ok());
  const std::vector<double> before = observation;
  const auto outcome = (*wrapped)->Step(action, observation);
  REQUIRE(outcome.ok());
  CHECK(outcome->failed);
  CHECK(outcome->terminated);
  CHECK_FALSE(outcome->success);
  CHECK(outcome->reward == -3);
  CHECK(observation == before);
  CHECK(absl::IsFailedPrecondition((*wrapped)->Step(action, observation).status()));
  CHECK(absl::IsFailedPrecondition((*wrapped)->SaveState().status()));
  CHECK((*wrapped)->Reset(kReset, 1, observation).ok());
}

TEST_CASE("hosts: an environment begins anew after its host has failed", "[unit]") {
  const auto environment = MakeEnvironment(HostileTask());
  REQUIRE(environment.ok());
  std::vector<double> observation(2);
  const std::vector<float> action(2);
  {
    const OfferedHosts offered({HostileHost("die", "step")});
    REQUIRE((*environment)->Reset(kReset, 0, observation).ok());
    CHECK(absl::IsInternal((*environment)->Step(action, observation).status()));
    CHECK(absl::IsFailedPrecondition((*environment)->Step(action, observation).status()));
  }
  const OfferedHosts offered({HostileHost("none", "none")});
  REQUIRE((*environment)->Reset(kReset, 0, observation).ok());
  CHECK((*environment)->Step(action, observation).ok());
}

TEST_CASE("hosts: the process after one that died is told the task, too", "[unit]") {
  for (const char* at : {"reset", "step", "save"}) {
    INFO(at);
    const auto environment = MakeEnvironment(HostileTask());
    REQUIRE(environment.ok());
    std::vector<double> observation(2);
    {
      const OfferedHosts offered({HostileHost("die", at)});
      if ((*environment)->Reset(kReset, 0, observation).ok() &&
          (*environment)->Step(std::vector<float>(2), observation).ok()) {
        CHECK(absl::IsInternal((*environment)->SaveState().status()));
      }
    }
    const OfferedHosts offered({HostileHost("die", "set_task")});
    CHECK(absl::StrContains(Text((*environment)->Reset(kReset, 0, observation)),
                            "ended at 'set_task'"));
  }
}

TEST_CASE("hosts: a state of a visible goal is none of a hidden one", "[unit]") {
  const OfferedHosts offered({ExampleHost()});
  v1::EnvironmentTask hidden = HostTask("block", {0.25}), visible = hidden;
  hidden.set_goal_visible(false);
  visible.set_goal_visible(true);
  const auto environment = MakeEnvironment(visible);
  REQUIRE(environment.ok());
  std::vector<double> observation(3);
  REQUIRE((*environment)->Reset(kReset, 0, observation).ok());
  const auto state = (*environment)->SaveState();
  REQUIRE(state.ok());
  REQUIRE((*environment)->SetTask(hidden).ok());
  CHECK(absl::IsInvalidArgument((*environment)->RestoreState(*state, observation)));
  REQUIRE((*environment)->SetTask(visible).ok());
  CHECK((*environment)->RestoreState(*state, observation).ok());
}

TEST_CASE("hosts: programs that are not there", "[unit]") {
  const OfferedHosts offered({SimulatorCommand{.name = "hostile", .command = {"/nowhere/at/all"}}});
  const absl::Status status = LiveThrough(HostileTask());
  INFO(Text(status));
  CHECK(absl::StrContains(Text(status), "/nowhere/at/all"));
  CHECK(absl::StrContains(Text(status), "No such file"));
}

}  // namespace mentor::envs::TEST_FILE
