#include "envs/promises.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <thread>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include "common/check.h"
#include "common/cpu_time.h"
#include "common/failed_step.h"
#include "common/hash.h"
#include "common/hosts.h"
#include "envs/wrapper.h"

namespace mentor::envs {
namespace {

// Steps compared after a saved point; few, so that a whole catalogue takes minutes.
constexpr size_t kStepsAfterRestore = 100;
constexpr int kManySteps = 1000;
// In long episodes only this many steps are compared, or as many as hold this many numbers.
constexpr int64_t kStepsComparedMax = 10'000, kStepsComparedAtLeast = 100;
constexpr int64_t kNumbersCompared = 5'000'000;
constexpr double kSpeedSeconds = 0.25;
// A simulator makes as many steps between two episodes that are compared, and more for a second:
// some kinds of memory show late.
constexpr size_t kStepsBetween = 1000;
constexpr double kSecondsBetween = 1;

// Collects complaints.
class Judge {
 public:
  // Returns `good`; adds the complaint when it is false.
  bool Expect(bool good, const std::string& complaint) {
    if (!good) complaints_.push_back(complaint);
    return good;
  }
  bool Expect(const absl::Status& status, const std::string& where) {
    return Expect(status.ok(),
                  absl::StrCat(where, ": ", status.ToString(),
                               std::string(absl::IsOutOfRange(status) ? kFailedStepRemedy : "")));
  }
  bool ExpectCode(const absl::Status& status, absl::StatusCode code, const std::string& what) {
    return Expect(status.code() == code,
                  absl::StrCat(what, " is ", absl::StatusCodeToString(status.code()),
                               status.ok() ? "" : absl::StrCat(" (", status.message(), ")"),
                               ", expected ", absl::StatusCodeToString(code)));
  }
  std::unique_ptr<Environment> Make(const Subject& subject) {
    auto made = subject.make();
    if (!Expect(made.status(), "cannot be made")) return nullptr;
    return *std::move(made);
  }
  Complaints Take() { return std::move(complaints_); }

 private:
  Complaints complaints_;
};

// True if the environment saves exactly this state.
bool IsIn(const Environment& environment, const std::string& state) {
  const absl::StatusOr<std::string> saved = environment.SaveState();
  return saved.ok() && *saved == state;
}

// As agents see them.
bool AllFinite(std::span<const double> numbers) {
  return std::all_of(numbers.begin(), numbers.end(),
                     [](double number) { return std::isfinite(static_cast<float>(number)); });
}

void AppendStep(Trace* trace, const absl::StatusOr<StepOutcome>& outcome,
                const std::vector<double>& observation) {
  if (!outcome.ok()) {
    trace->error = outcome.status().ToString();
    return;
  }
  trace->numbers.insert(trace->numbers.end(), observation.begin(), observation.end());
  trace->numbers.insert(trace->numbers.end(),
                        {outcome->reward, outcome->success ? 1.0 : 0.0,
                         outcome->terminated ? 1.0 : 0.0, outcome->truncated ? 1.0 : 0.0});
}

bool IsSimulator(const EnvironmentInfo& info) {
  return info.name == kHostEnvironment;
}

// CPU time; wall time for a simulator in another process.
double SecondsOf(const Environment& environment) {
  if (!IsSimulator(environment.info())) return ThreadCpuSeconds();
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Makes steps `begin` to `end` of a running episode, or fewer if it ends. Returns the step reached.
size_t Continue(Environment& environment, const std::vector<std::vector<float>>& actions,
                size_t begin, size_t end, Trace* trace) {
  std::vector<double> observation(environment.info().observation_size);
  for (size_t t = begin; t < end; ++t) {
    const absl::StatusOr<StepOutcome> outcome = environment.Step(actions[t], observation);
    AppendStep(trace, outcome, observation);
    if (!outcome.ok()) return t;
    if (outcome->terminated || outcome->truncated) return t + 1;
  }
  return end;
}

// Describes the first difference between two traces.
std::string Parting(const Trace& got, const Trace& want, int observation_size) {
  if (got.error != want.error) {
    return absl::StrCat("one ends with an error: ", got.error.empty() ? want.error : got.error);
  }
  const auto [a, b] = std::mismatch(got.numbers.begin(), got.numbers.end(), want.numbers.begin(),
                                    want.numbers.end());
  const auto index = static_cast<size_t>(a - got.numbers.begin());
  const size_t row = static_cast<size_t>(observation_size) + 4;
  const size_t reset = static_cast<size_t>(observation_size);
  if (index < reset) return absl::StrCat("number ", index, " of the reset's observation differs");
  const size_t step = (index - reset) / row + 1, column = (index - reset) % row;
  if (a == got.numbers.end() || b == want.numbers.end())
    return absl::StrCat("one ends after step ", step - 1);
  return absl::StrFormat(
      "%s differs at step %d: %.17g, then %.17g",
      column < reset ? absl::StrCat("number ", column, " of the observation") : "the outcome", step,
      *b, *a);
}

}  // namespace

Subject SubjectOf(const EnvironmentEntry& entry,
                  const google::protobuf::RepeatedPtrField<v1::Option>& options,
                  const google::protobuf::RepeatedPtrField<v1::WrapperSpec>& wrappers) {
  std::string name = entry.name;
  for (const v1::Option& option : options) {
    if (option.name() != kFactsOption)  // A separate line, unused here.
      absl::StrAppend(&name, " ", option.name(), "=", option.value());
  }
  for (const v1::WrapperSpec& wrapper : wrappers) {
    absl::StrAppend(&name, " + ", wrapper.name());
    for (const v1::Option& option : wrapper.option())
      absl::StrAppend(&name, " ", option.name(), "=", option.value());
  }
  return {.name = std::move(name),
          .make = [&entry, options, wrappers]() -> absl::StatusOr<std::unique_ptr<Environment>> {
            MENTOR_ASSIGN_OR_RETURN(std::unique_ptr<Environment> made,
                                    MakeEnvironment(entry.name, options));
            return Wrap(std::move(made), wrappers);
          },
          .task =
              [&entry, options, wrappers](uint32_t index) {
                Violations none;
                const OptionValues values =
                    OptionValues::Parse(entry.options, options, "options", &none);
                const RandomStream random{.seed = 5, .purpose = Purpose::kTasks};
                v1::EnvironmentTask task = DrawTask(entry, values, random, index);
                *task.mutable_options() = options;
                *task.mutable_wrappers() = wrappers;
                ExtendTask(wrappers, random, index, &task);
                return task;
              }};
}

std::vector<std::vector<float>> CheckActions(const EnvironmentInfo& info, uint32_t number) {
  const RandomStream random{.seed = 6, .lifetime = number};
  const int64_t row = std::max(1, info.observation_size + info.action_size);
  const int steps = static_cast<int>(std::min<int64_t>(
      info.episode_steps,
      std::clamp(kNumbersCompared / row, kStepsComparedAtLeast, kStepsComparedMax)));
  std::vector<std::vector<float>> actions(steps, std::vector<float>(info.action_size));
  std::vector<double> noise(info.action_size), tour(info.action_size);
  for (int t = 0; t < steps; ++t) {
    random.Normals(t, noise);
    if (t % 20 == 0) random.Normals(t, tour, /*first_draw=*/100);
    for (int i = 0; i < info.action_size; ++i)
      actions[t][i] = static_cast<float>(tour[i] + 0.5 * noise[i]);
  }
  return actions;
}

RandomStream CheckStream(uint32_t lifetime) {
  return {.seed = 7, .purpose = Purpose::kEnvironmentReset, .lifetime = lifetime};
}

Trace CheckEpisode(const Subject& subject, Environment& environment, uint32_t task,
                   uint32_t lifetime, uint32_t episode) {
  Trace trace;
  std::vector<double> observation(environment.info().observation_size);
  absl::Status status = environment.SetTask(subject.task(task));
  if (status.ok()) status = environment.Reset(CheckStream(lifetime), episode, observation);
  if (!status.ok()) {
    trace.error = status.ToString();
    return trace;
  }
  trace.numbers = observation;
  const auto actions = CheckActions(environment.info(), lifetime);
  Continue(environment, actions, 0, actions.size(), &trace);
  return trace;
}

std::string EpisodeDigest(const Subject& subject) {
  const auto environment = subject.make();
  if (!environment.ok()) return environment.status().ToString();
  const Trace trace = CheckEpisode(subject, **environment, 1, 5, 6);
  return trace.error + Sha256Hex(std::string(reinterpret_cast<const char*>(trace.numbers.data()),
                                             trace.numbers.size() * sizeof(double)));
}

Complaints CheckShapes(const Subject& subject) {
  Judge judge;
  const auto environment = judge.Make(subject);
  if (environment == nullptr) return judge.Take();
  const EnvironmentInfo& info = environment->info();
  judge.Expect(info.observation_size > 0, "observations have no numbers");
  judge.Expect(info.action_size > 0, "actions have no numbers");
  judge.Expect(info.episode_steps > 0, "episodes have no steps");
  std::vector<double> observation(info.observation_size, std::nan(""));
  if (!judge.Expect(environment->SetTask(subject.task(0)), "SetTask") ||
      !judge.Expect(environment->Reset(CheckStream(0), 0, observation), "Reset")) {
    return judge.Take();
  }
  judge.Expect(AllFinite(observation),
               "the reset's observation has numbers that are not finite in 32 bits");
  bool finite = true;
  const auto actions = CheckActions(info, 0);
  for (int steps = 1; steps <= info.episode_steps; ++steps) {
    std::fill(observation.begin(), observation.end(), std::nan(""));
    const absl::StatusOr<StepOutcome> outcome =
        environment->Step(actions[static_cast<size_t>(steps - 1) % actions.size()], observation);
    if (!judge.Expect(outcome.status(), absl::StrCat("step ", steps))) return judge.Take();
    finite = finite && AllFinite({&outcome->reward, 1}) && AllFinite(observation);
    const bool done = outcome->terminated || outcome->truncated;
    const std::string at = absl::StrCat("step ", steps, " of ", info.episode_steps);
    if (steps == info.episode_steps) judge.Expect(done, at + " does not end the episode");
    // Only the limit truncates our own: the task ended what ends earlier. Gymnasium's may cut
    // an episode at any step. In the limit's own step the task may end too, and they report both.
    if (outcome->truncated && !IsSimulator(info))
      judge.Expect(steps == info.episode_steps, at + " says that the limit of steps ended it");
    if (done && steps < info.episode_steps) {
      judge.Expect(!info.independent_episodes,
                   at + " ends the episode, though independent episodes have all their steps");
    }
    if (done) break;
  }
  judge.Expect(finite, "observations or rewards are not finite in 32 bits");
  // Beyond the end.
  const std::vector<float> action(info.action_size);
  judge.ExpectCode(environment->Step(action, observation).status(),
                   absl::StatusCode::kFailedPrecondition, "a step after the episode's end");
  judge.Expect(environment->Reset(CheckStream(0), 1, observation), "the next reset");
  judge.Expect(environment->Step(action, observation).status(), "the next episode's first step");
  return judge.Take();
}

Complaints CheckSameBits(const Subject& subject) {
  Judge judge;
  const auto first = judge.Make(subject), fresh = judge.Make(subject);
  if (first == nullptr || fresh == nullptr) return judge.Take();
  const int size = first->info().observation_size;
  const Trace want = CheckEpisode(subject, *first, /*task=*/1, /*lifetime=*/2, /*episode=*/3);
  if (!judge.Expect(want.error.empty(), "an episode: " + want.error)) return judge.Take();
  const auto same = [&](const Trace& got, const std::string& where) {
    judge.Expect(got == want, absl::StrCat("the same episode is another one ", where, ": ",
                                           got == want ? "" : Parting(got, want, size)));
  };
  // Other tasks and episodes in between must leave no trace; the second time, the settled reset
  // comes from memory.
  const double begin = SecondsOf(*first);
  size_t steps = 0;
  uint32_t others = 0;
  do {
    const Trace other = CheckEpisode(subject, *first, 2 + others, 3 + others, others);
    steps += other.numbers.size() / static_cast<size_t>(size + 4) + 1;
    ++others;
  } while (IsSimulator(first->info()) &&
           (steps < kStepsBetween || SecondsOf(*first) - begin < kSecondsBetween));
  same(CheckEpisode(subject, *first, 1, 2, 3),
       absl::StrCat("after ", others, " others, so something outlives a reset",
                    IsSimulator(first->info())
                        ? " (running statistics as of NormalizeObservation, a counter of episodes "
                          "or steps, a curriculum, a generator that nobody seeds)"
                        : ""));
  same(CheckEpisode(subject, *fresh, 1, 2, 3), "in a fresh instance");

  constexpr int kThreads = 2;
  std::array<Trace, kThreads> traces;
  {
    std::vector<std::jthread> threads;
    std::vector<std::unique_ptr<Environment>> environments;
    for (int i = 0; i < kThreads; ++i) {
      environments.push_back(judge.Make(subject));
      if (environments.back() == nullptr) return judge.Take();
    }
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&subject, &traces, i, environment = environments[i].get()] {
        traces[i] = CheckEpisode(subject, *environment, 1, 2, 3);
      });
    }
    threads.clear();
  }
  for (const Trace& trace : traces) same(trace, "beside another thread");
  return judge.Take();
}

Complaints CheckSavedStates(const Subject& subject) {
  Judge judge;
  const auto environment = judge.Make(subject);
  if (environment == nullptr || !environment->info().saves_state) return judge.Take();
  const int size = environment->info().observation_size;
  const auto actions = CheckActions(environment->info(), 4);
  const RandomStream random{.seed = 8};
  for (uint32_t round = 0; round < 3; ++round) {
    std::vector<double> before(size), after(before.size());
    const v1::EnvironmentTask task = subject.task(round);
    const auto reset = [&] {
      return judge.Expect(environment->SetTask(task), "SetTask") &&
             judge.Expect(environment->Reset(CheckStream(4), round, before), "Reset");
    };
    if (!reset()) return judge.Take();
    // An episode may end early, so a point within it is drawn once its length is known.
    Trace whole;
    const size_t length = Continue(*environment, actions, 0, actions.size(), &whole);
    if (!judge.Expect(whole.error.empty(), "an episode: " + whole.error) || !reset())
      return judge.Take();
    const size_t stop =
        round == 0 ? 0 : random.Below(length, 0, round);  // Right after a reset, too.
    const size_t steps = std::min(length, stop + kStepsAfterRestore);
    const std::string at = absl::StrCat("saved after step ", stop, " of ", length, ", ");
    Trace want, head;
    Continue(*environment, actions, 0, stop, &head);
    const absl::StatusOr<std::string> state = environment->SaveState();
    if (!judge.Expect(state.status(), at + "SaveState")) return judge.Take();
    judge.Expect(IsIn(*environment, *state), at + "it is another state at once");
    Continue(*environment, actions, stop, steps, &want);
    judge.Expect(want.error.empty(), at + want.error);

    const auto fresh = judge.Make(subject), used = judge.Make(subject);
    if (fresh == nullptr || used == nullptr) return judge.Take();
    CheckEpisode(subject, *used, 9, 9, 9);
    for (Environment* other : {fresh.get(), used.get()}) {
      const std::string where = absl::StrCat(
          at, "restored in a ", other == fresh.get() ? "fresh" : "used", " instance, ");
      if (!judge.Expect(other->SetTask(task), where + "SetTask") ||
          !judge.Expect(other->RestoreState(*state, after), where + "RestoreState")) {
        continue;
      }
      judge.Expect(IsIn(*other, *state), where + "it is another state");
      // The observation is the episode's at that point.
      const bool seen =
          stop == 0 ? after == before
                    : std::equal(after.begin(), after.end(), head.numbers.end() - 4 - after.size());
      judge.Expect(seen, where + "the observation is another one");
      Trace got;
      Continue(*other, actions, stop, steps, &got);
      judge.Expect(got == want, where + "it goes on differently");
    }
  }
  return judge.Take();
}

Complaints CheckBadCalls(const Subject& subject) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  Judge judge;
  const auto environment = judge.Make(subject);
  if (environment == nullptr) return judge.Take();
  const EnvironmentInfo& info = environment->info();
  std::vector<double> observation(info.observation_size), small(info.observation_size - 1);
  std::vector<float> action(info.action_size, 0.5f);

  // Out of order.
  judge.ExpectCode(environment->Step(action, observation).status(),
                   absl::StatusCode::kFailedPrecondition, "a step before the reset");
  judge.ExpectCode(environment->Reset(CheckStream(0), 0, observation),
                   absl::StatusCode::kFailedPrecondition, "a reset before the task");

  // Tasks.
  const v1::EnvironmentTask good = subject.task(0);
  v1::EnvironmentTask other = good;
  other.set_environment("another");
  judge.ExpectCode(environment->SetTask(other), kInvalid, "a task of another environment");
  other = good;
  other.add_parameters(0);
  judge.ExpectCode(environment->SetTask(other), kInvalid, "a task with a parameter more");
  for (int i = 0; i < good.parameters_size(); ++i) {
    for (double bad : {nan, std::numeric_limits<double>::infinity(), -1e300}) {
      other = good;
      other.set_parameters(i, bad);
      judge.ExpectCode(environment->SetTask(other), kInvalid,
                       absl::StrCat("a task with parameter ", i, " of ", bad));
    }
  }

  if (!judge.Expect(environment->SetTask(good), "SetTask")) return judge.Take();
  judge.ExpectCode(environment->Reset(CheckStream(0), 0, small), kInvalid,
                   "a reset without room for the observation");
  if (!judge.Expect(environment->Reset(CheckStream(0), 0, observation), "Reset"))
    return judge.Take();

  // Actions.
  const absl::StatusOr<std::string> state = environment->SaveState();
  judge.ExpectCode(state.status(),
                   info.saves_state ? absl::StatusCode::kOk : absl::StatusCode::kFailedPrecondition,
                   "a state");
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> broken = action;
    broken.back() = bad;
    judge.ExpectCode(environment->Step(broken, observation).status(), kInvalid,
                     "an action that is not finite");
  }
  judge.ExpectCode(
      environment->Step(std::vector<float>(info.action_size + 1), observation).status(), kInvalid,
      "an action with a number more");
  judge.ExpectCode(environment->Step(action, small).status(), kInvalid,
                   "a step without room for the observation");
  if (state.ok()) judge.Expect(IsIn(*environment, *state), "refused calls change the state");
  judge.Expect(environment->Step(action, observation).status(), "a step after refused ones");
  return judge.Take();
}

Complaints CheckBadStates(const Subject& subject, const std::vector<Subject>& foreign) {
  Judge judge;
  const auto environment = judge.Make(subject);
  if (environment == nullptr || !environment->info().saves_state) return judge.Take();
  std::vector<double> observation(environment->info().observation_size);
  if (!judge.Expect(environment->SetTask(subject.task(0)), "SetTask") ||
      !judge.Expect(environment->Reset(CheckStream(0), 0, observation), "Reset")) {
    return judge.Take();
  }
  const absl::StatusOr<std::string> saved = environment->SaveState();
  if (!judge.Expect(saved.status(), "SaveState")) return judge.Take();
  const std::string& state = *saved;
  const auto refused = [&](const std::string& bad, const std::string& what) {
    judge.ExpectCode(environment->RestoreState(bad, observation),
                     absl::StatusCode::kInvalidArgument, what);
  };
  for (size_t length :
       {size_t{0}, size_t{7}, size_t{9}, size_t{15}, state.size() / 2, state.size() - 1}) {
    refused(state.substr(0, length), absl::StrCat("the first ", length, " bytes of a state"));
  }
  refused(state + "x", "a state with a byte more");
  std::string nan = state;
  nan.replace(nan.size() - 8, 8, std::string(8, '\xff'));
  refused(nan, "a state with a number that is not finite");
  for (const Subject& other : foreign) {
    const auto stranger = judge.Make(other);
    if (stranger == nullptr) return judge.Take();
    if (!stranger->info().saves_state) continue;
    std::vector<double> seen(stranger->info().observation_size);
    if (!judge.Expect(stranger->SetTask(other.task(0)), other.name) ||
        !judge.Expect(stranger->Reset(CheckStream(0), 0, seen), other.name)) {
      return judge.Take();
    }
    const absl::StatusOr<std::string> strange = stranger->SaveState();
    if (judge.Expect(strange.status(), "a state of " + other.name))
      refused(*strange, "a state of " + other.name);
  }
  if (subject.task(0).parameters_size() > 0) {
    uint32_t index = 1;
    constexpr uint32_t kTries = 1000;  // A range may be a single point.
    while (index < kTries &&
           subject.task(index).SerializeAsString() == subject.task(0).SerializeAsString())
      ++index;
    if (index < kTries) {
      judge.Expect(environment->SetTask(subject.task(index)), "SetTask");
      refused(state, "a state of another task");
      judge.Expect(environment->SetTask(subject.task(0)), "SetTask");
    }
  }
  // Any wrong byte may lead to an error or an episode, never to a crash.
  const RandomStream random{.seed = 9};
  for (uint32_t i = 0; i < 300; ++i) {
    std::string altered = state;
    altered[random.Below(altered.size(), 0, i)] ^= static_cast<char>(1 << random.Below(8, 1, i));
    if (!environment->RestoreState(altered, observation).ok()) continue;
    (void)environment->Step(std::vector<float>(environment->info().action_size), observation);
  }
  // The environment must still work.
  if (judge.Expect(environment->Reset(CheckStream(0), 0, observation), "a reset after bad states"))
    judge.Expect(IsIn(*environment, state), "bad states leave a trace in the next episode");
  return judge.Take();
}

RandomSteps CheckManySteps(const Subject& subject, int steps) {
  Judge judge;
  RandomSteps random_steps;
  const auto result = [&] {
    random_steps.complaints = judge.Take();
    return std::move(random_steps);
  };
  const auto environment = judge.Make(subject);
  if (environment == nullptr) return result();
  const EnvironmentInfo& info = environment->info();
  const RandomStream random{.seed = 10};
  std::vector<double> observation(info.observation_size);
  std::vector<float> action(info.action_size);
  uint32_t episode = 0;
  int episode_step = 0;
  bool done = true;
  for (int t = 0; t < steps; ++t) {
    if (done) {
      if (!judge.Expect(environment->SetTask(subject.task(episode)), "SetTask") ||
          !judge.Expect(environment->Reset(CheckStream(10), episode, observation), "Reset")) {
        return result();
      }
      ++episode;
    }
    for (size_t i = 0; i < action.size(); ++i) {
      action[i] = static_cast<float>(info.action_low +
                                     (info.action_high - info.action_low) * random.Uniform(t, i));
    }
    const auto outcome = environment->Step(action, observation);
    const std::string where = absl::StrCat("random step ", t + 1, " of ", steps);
    if (!judge.Expect(outcome.status(), where)) return result();
    if (!judge.Expect(AllFinite({&outcome->reward, 1}) && AllFinite(observation),
                      where + " gives numbers that are not finite")) {
      return result();
    }
    ++random_steps.steps;
    if (outcome->success) ++random_steps.successes;
    done = outcome->terminated || outcome->truncated;
    ++episode_step;
    if (done) {
      ++random_steps.ended;
      if (outcome->truncated && !outcome->terminated && episode_step < info.episode_steps)
        ++random_steps.cut_early;
      episode_step = 0;
    }
  }
  return result();
}

bool IsBuiltIn(std::string_view environment) {
  const EnvironmentEntry* const entry = FindEnvironment(environment);
  return entry != nullptr && !entry->brought;
}

std::string SuccessSentence(const RandomSteps& random, bool built_in) {
  if (random.successes > 0) {
    return absl::StrFormat("success: %d of %d random steps report it", random.successes,
                           random.steps);
  }
  return absl::StrFormat(
      "success: none of %d random steps reports it; %s", random.steps,
      built_in ? "that is usual before anything is learned"
               : "where no step ever can, agents that learn from success learn from a constant 0");
}

bool CheckReport::kept() const {
  return std::all_of(promises.begin(), promises.end(),
                     [](const Promise& promise) { return promise.complaints.empty(); });
}

namespace {

// Steps a second, resets among them.
double Speed(const Subject& subject) {
  auto environment = subject.make();
  if (!environment.ok() || !(*environment)->SetTask(subject.task(0)).ok()) return 0;
  const auto actions = CheckActions((*environment)->info(), 0);
  std::vector<double> observation((*environment)->info().observation_size);
  // The first reset is not counted: it includes work that is done once.
  if (!(*environment)->Reset(CheckStream(0), 0, observation).ok()) return 0;
  const double begin = SecondsOf(**environment);
  int64_t steps = 0;
  for (uint32_t episode = 0; SecondsOf(**environment) - begin < kSpeedSeconds; ++episode) {
    if (!(*environment)->Reset(CheckStream(0), episode, observation).ok()) return 0;
    Trace trace;
    steps += static_cast<int64_t>(Continue(**environment, actions, 0, actions.size(), &trace));
    if (!trace.error.empty()) return 0;
  }
  return static_cast<double>(steps) / (SecondsOf(**environment) - begin);
}

}  // namespace

CheckReport CheckEnvironment(const Subject& subject,
                             const std::function<absl::StatusOr<std::string>()>& other_process) {
  CheckReport report;
  const auto add = [&report](const std::string& what, Complaints complaints) {
    report.promises.push_back({what, std::move(complaints)});
  };
  add("sizes, finite numbers, episodes of the promised length", CheckShapes(subject));
  if (!report.kept()) {
    // All other complaints follow from it.
  } else {
    add("the same bits in two runs, after other episodes, in threads", CheckSameBits(subject));
    Complaints process;
    const std::string mine = EpisodeDigest(subject);
    const absl::StatusOr<std::string> theirs = other_process();
    if (!theirs.ok()) {
      process.push_back("the other process: " + theirs.status().ToString());
    } else if (*theirs != mine) {
      process.push_back(
          "an episode in another process has other bits: a clock, an address, the "
          "number of threads or a generator of its own decides something");
    }
    add("the same bits in another process", std::move(process));
    const auto environment = subject.make();
    const bool saves = environment.ok() && (*environment)->info().saves_state;
    add("save points: a saved episode goes on bit for bit", CheckSavedStates(subject));
    report.promises.back().left_out = !saves;
    add("states that are cut, altered or of another task are refused", CheckBadStates(subject, {}));
    report.promises.back().left_out = !saves;
    add("bad calls are refused and change nothing", CheckBadCalls(subject));
    report.random = CheckManySteps(subject, kManySteps);
    add(absl::StrCat(kManySteps, " random steps are finite"), report.random.complaints);
    const v1::EnvironmentTask task = subject.task(0);
    report.may_succeed = GiveSuccess(task.wrappers()) || MaySucceed(task);
    report.built_in = IsBuiltIn(task.environment());
    report.steps_per_second = Speed(subject);
  }
  for (const Promise& promise : report.promises) {
    absl::StrAppend(&report.text,
                    promise.left_out             ? "not promised  "
                    : promise.complaints.empty() ? "kept          "
                                                 : "BROKEN        ",
                    promise.what, "\n");
    for (const std::string& complaint : promise.complaints) {
      for (const absl::string_view line : absl::StrSplit(complaint, '\n'))
        absl::StrAppend(&report.text, "              ", line, "\n");
    }
  }
  if (report.random.steps > 0) {
    absl::StrAppend(&report.text,
                    report.may_succeed ? SuccessSentence(report.random, report.built_in)
                                       : "success: never reported, as the environment says",
                    "\n");
  }
  if (report.random.cut_early > 0) {
    absl::StrAppend(&report.text,
                    absl::StrFormat("truncation: %d of %d episodes of random steps were cut before "
                                    "their last step, not ended by the task\n",
                                    report.random.cut_early, report.random.ended));
  }
  if (report.steps_per_second > 0)
    absl::StrAppend(&report.text,
                    absl::StrFormat("%.0f steps a second in one thread, resets among them\n",
                                    report.steps_per_second));
  return report;
}

}  // namespace mentor::envs
