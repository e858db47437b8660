// What every registered environment must do, as a library of checks: catalogue_test.cc calls them
// for the whole catalogue, wrapper_test.cc for environments in wrappers.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "envs/environment.h"
#include "envs/wrapper.h"
#include "tests/testing.h"

namespace mentor::envs::testing {

using OptionList = google::protobuf::RepeatedPtrField<v1::Option>;

using WrapperList = google::protobuf::RepeatedPtrField<v1::WrapperSpec>;

// An environment with its options, in wrappers.
struct Variant {
  const EnvironmentEntry* entry = nullptr;
  OptionList options;
  WrapperList wrappers = {};

  std::string Name() const {
    std::string name = entry->name;
    for (const v1::Option& option : options) name += " " + option.name() + "=" + option.value();
    for (const v1::WrapperSpec& wrapper : wrappers) {
      name += " + " + wrapper.name();
      for (const v1::Option& option : wrapper.option())
        name += " " + option.name() + "=" + option.value();
    }
    return name;
  }
  // Whose states it writes: the names without the options.
  std::string Family() const {
    std::string family = entry->name;
    for (const v1::WrapperSpec& wrapper : wrappers) family += " + " + wrapper.name();
    return family;
  }
  std::unique_ptr<Environment> Make() const {
    absl::StatusOr<std::unique_ptr<Environment>> made = MakeEnvironment(entry->name, options);
    if (made.ok()) made = Wrap(*std::move(made), wrappers);
    INFO(made.status().ToString());
    REQUIRE(made.ok());
    return *std::move(made);
  }
  v1::EnvironmentTask Task(uint32_t index) const {
    Violations violations;
    const OptionValues values =
        OptionValues::Parse(entry->options, options, "options", &violations);
    const RandomStream random{.seed = 5, .purpose = Purpose::kTasks};
    v1::EnvironmentTask task = DrawTask(*entry, values, random, index);
    *task.mutable_options() = options;
    *task.mutable_wrappers() = wrappers;
    ExtendTask(wrappers, random, index, &task);
    return task;
  }
};

// Every environment with default options; besides, each choice and flag in turn, and each integer
// at its least value.
inline std::vector<Variant> AllVariants() {
  std::vector<Variant> variants;
  for (const EnvironmentEntry* entry : Catalogue()) {
    variants.push_back({entry, {}});
    for (const OptionInfo& option : entry->options) {
      std::vector<std::string> values = option.choices;
      if (option.kind == OptionInfo::Kind::kFlag) values = {"true", "false"};
      if (option.kind == OptionInfo::Kind::kInteger && option.min > -1e9) {
        values = {std::to_string(static_cast<int64_t>(option.min))};
      }
      for (const std::string& value : values) {
        if (value == option.default_value) continue;
        Variant variant{entry, {}};
        v1::Option* set = variant.options.Add();
        set->set_name(option.name);
        set->set_value(value);
        variants.push_back(std::move(variant));
      }
    }
  }
  return variants;
}

// Actions beyond the usual limits, from a slow tour with noise.
inline std::vector<std::vector<float>> MakeActions(const EnvironmentInfo& info, uint32_t number) {
  const RandomStream random{.seed = 6, .lifetime = number};
  std::vector<std::vector<float>> actions(info.episode_steps, std::vector<float>(info.action_size));
  std::vector<double> noise(info.action_size), tour(info.action_size);
  for (int t = 0; t < info.episode_steps; ++t) {
    random.Normals(t, noise);
    if (t % 20 == 0) random.Normals(t, tour, /*first_draw=*/100);
    for (int i = 0; i < info.action_size; ++i)
      actions[t][i] = static_cast<float>(tour[i] + 0.5 * noise[i]);
  }
  return actions;
}

inline RandomStream ResetStream(uint32_t lifetime) {
  return {.seed = 7, .purpose = Purpose::kEnvironmentReset, .lifetime = lifetime};
}

// Everything that came out of an episode, in order: to be compared bit for bit.
struct Trace {
  std::vector<double> numbers;
  std::string error;
  bool operator==(const Trace&) const = default;
};

inline void Append(Trace* trace, const absl::StatusOr<StepOutcome>& outcome,
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

// Steps `begin` to `end` of an episode that has begun, or until it ends. Returns where it stands.
inline size_t Continue(Environment& environment, const std::vector<std::vector<float>>& actions,
                       size_t begin, size_t end, Trace* trace) {
  std::vector<double> observation(environment.info().observation_size);
  for (size_t t = begin; t < end; ++t) {
    const absl::StatusOr<StepOutcome> outcome = environment.Step(actions[t], observation);
    Append(trace, outcome, observation);
    if (!outcome.ok()) return t;
    if (outcome->terminated || outcome->truncated) return t + 1;
  }
  return end;
}

// One episode of task number `task`, reset stream number `lifetime`, actions number `lifetime`.
inline Trace RunEpisode(const Variant& variant, Environment& environment, uint32_t task,
                        uint32_t lifetime, uint32_t episode) {
  Trace trace;
  std::vector<double> observation(environment.info().observation_size);
  absl::Status status = environment.SetTask(variant.Task(task));
  if (status.ok()) status = environment.Reset(ResetStream(lifetime), episode, observation);
  if (!status.ok()) {
    trace.error = status.ToString();
    return trace;
  }
  trace.numbers = observation;
  const auto actions = MakeActions(environment.info(), lifetime);
  Continue(environment, actions, 0, actions.size(), &trace);
  return trace;
}

// Steps that follow a saved point, so that the whole catalogue takes minutes.
inline constexpr size_t kStepsAfterRestore = 100;

inline absl::StatusCode CodeOf(const absl::StatusOr<StepOutcome>& outcome) {
  return outcome.status().code();
}

// Shapes, finite numbers, episodes of the promised length with the right kind of end, and an error
// beyond it.
inline void CheckShapes(const Variant& variant) {
  INFO(variant.Name());
  const auto environment = variant.Make();
  const EnvironmentInfo& info = environment->info();
  CHECK(info.name == variant.entry->name);
  REQUIRE(info.observation_size > 0);
  REQUIRE(info.action_size > 0);
  REQUIRE(info.episode_steps > 0);
  REQUIRE(environment->SetTask(variant.Task(0)).ok());
  std::vector<double> observation(info.observation_size, std::nan(""));
  REQUIRE(environment->Reset(ResetStream(0), 0, observation).ok());
  bool finite = true;
  for (double number : observation) finite = finite && std::isfinite(number);
  int steps = 0;
  for (const std::vector<float>& action : MakeActions(info, 0)) {
    std::fill(observation.begin(), observation.end(), std::nan(""));
    const absl::StatusOr<StepOutcome> outcome = environment->Step(action, observation);
    INFO(outcome.status().ToString());
    REQUIRE(outcome.ok());
    ++steps;
    finite = finite && std::isfinite(outcome->reward);
    for (double number : observation) finite = finite && std::isfinite(number);
    const bool done = outcome->terminated || outcome->truncated;
    if (steps == info.episode_steps) CHECK(done);
    // The limit alone truncates: what ends earlier was ended by the task. In the limit's own step a
    // task may end too, and Gymnasium's then report both.
    if (done && steps < info.episode_steps) CHECK(outcome->terminated);
    if (outcome->truncated) CHECK(steps == info.episode_steps);
    if (info.independent_episodes && steps < info.episode_steps) REQUIRE_FALSE(done);
    if (done) break;
  }
  CHECK(finite);
  // Beyond the end.
  const std::vector<float> action(info.action_size);
  CHECK(CodeOf(environment->Step(action, observation)) == absl::StatusCode::kFailedPrecondition);
  CHECK(environment->Reset(ResetStream(0), 1, observation).ok());
  CHECK(environment->Step(action, observation).ok());
}

// The same episode has the same bits: in a fresh instance, after others, and in threads.
inline void CheckSameBits(const Variant& variant) {
  INFO(variant.Name());
  const auto first = variant.Make();
  const Trace want = RunEpisode(variant, *first, /*task=*/1, /*lifetime=*/2, /*episode=*/3);
  INFO(want.error);
  REQUIRE(want.error.empty());
  // Other tasks and episodes in between leave no trace; the settled reset is remembered the
  // second time.
  RunEpisode(variant, *first, 2, 3, 0);
  if (first->info().independent_episodes) CHECK(RunEpisode(variant, *first, 1, 2, 3) == want);
  CHECK(RunEpisode(variant, *variant.Make(), 1, 2, 3) == want);

  constexpr int kThreads = 2;
  std::array<Trace, kThreads> traces;
  {
    std::vector<std::jthread> threads;
    std::vector<std::unique_ptr<Environment>> environments;
    for (int i = 0; i < kThreads; ++i) environments.push_back(variant.Make());
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&variant, &traces, i, environment = environments[i].get()] {
        traces[i] = RunEpisode(variant, *environment, 1, 2, 3);
      });
    }
    threads.clear();
  }
  for (const Trace& trace : traces) CHECK(trace == want);
}

// A saved state goes on bit for bit, in a fresh and in a used instance.
inline void CheckSavedStates(const Variant& variant) {
  INFO(variant.Name());
  const auto environment = variant.Make();
  const auto actions = MakeActions(environment->info(), 4);
  const RandomStream random{.seed = 8};
  for (uint32_t round = 0; round < 3; ++round) {
    std::vector<double> before(environment->info().observation_size), after(before.size());
    REQUIRE(environment->SetTask(variant.Task(round)).ok());
    REQUIRE(environment->Reset(ResetStream(4), round, before).ok());
    // An episode may end early: a point within it is drawn once its length is known.
    Trace whole;
    const size_t length = Continue(*environment, actions, 0, actions.size(), &whole);
    REQUIRE(whole.error.empty());
    REQUIRE(environment->Reset(ResetStream(4), round, before).ok());
    const size_t stop =
        round == 0 ? 0 : random.Below(length, 0, round);  // Right after a reset, too.
    const size_t steps = std::min(length, stop + kStepsAfterRestore);
    INFO("saved after step " << stop << " of " << length);
    Trace want, head;
    Continue(*environment, actions, 0, stop, &head);
    const std::string state = environment->SaveState();
    CHECK(environment->SaveState() == state);
    Continue(*environment, actions, stop, steps, &want);
    REQUIRE(want.error.empty());

    const auto fresh = variant.Make();
    const auto used = variant.Make();
    RunEpisode(variant, *used, 9, 9, 9);
    for (Environment* other : {fresh.get(), used.get()}) {
      REQUIRE(other->SetTask(variant.Task(round)).ok());
      const absl::Status restored = other->RestoreState(state, after);
      INFO(restored.ToString());
      REQUIRE(restored.ok());
      CHECK(other->SaveState() == state);
      // The observation is the one that the episode had there.
      if (stop == 0) {
        CHECK(after == before);
      } else {
        CHECK(std::equal(after.begin(), after.end(), head.numbers.end() - 4 - after.size()));
      }
      Trace got;
      Continue(*other, actions, stop, steps, &got);
      CHECK(got == want);
    }
  }
}

// Bad calls are refused and leave the episode as it was.
inline void CheckBadCalls(const Variant& variant) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  INFO(variant.Name());
  const auto environment = variant.Make();
  const EnvironmentInfo& info = environment->info();
  std::vector<double> observation(info.observation_size), small(info.observation_size - 1);
  std::vector<float> action(info.action_size, 0.5f);

  // Out of order.
  CHECK(CodeOf(environment->Step(action, observation)) == absl::StatusCode::kFailedPrecondition);
  CHECK(environment->Reset(ResetStream(0), 0, observation).code() ==
        absl::StatusCode::kFailedPrecondition);

  // Tasks.
  const v1::EnvironmentTask good = variant.Task(0);
  v1::EnvironmentTask other = good;
  other.set_environment("another");
  CHECK(environment->SetTask(other).code() == absl::StatusCode::kInvalidArgument);
  other = good;
  other.add_parameters(0);
  CHECK(environment->SetTask(other).code() == absl::StatusCode::kInvalidArgument);
  for (int i = 0; i < good.parameters_size(); ++i) {
    for (double bad : {nan, std::numeric_limits<double>::infinity(), -1e300}) {
      other = good;
      other.set_parameters(i, bad);
      CHECK(environment->SetTask(other).code() == absl::StatusCode::kInvalidArgument);
    }
  }

  REQUIRE(environment->SetTask(good).ok());
  CHECK(environment->Reset(ResetStream(0), 0, small).code() == absl::StatusCode::kInvalidArgument);
  REQUIRE(environment->Reset(ResetStream(0), 0, observation).ok());

  // Actions.
  const std::string state = environment->SaveState();
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> broken = action;
    broken.back() = bad;
    CHECK(CodeOf(environment->Step(broken, observation)) == absl::StatusCode::kInvalidArgument);
  }
  CHECK(CodeOf(environment->Step(std::vector<float>(info.action_size + 1), observation)) ==
        absl::StatusCode::kInvalidArgument);
  CHECK(CodeOf(environment->Step(action, small)) == absl::StatusCode::kInvalidArgument);
  CHECK(environment->SaveState() == state);
  CHECK(environment->Step(action, observation).ok());
}

// States that are cut, altered or of others among `variants` are refused by number v.
inline void CheckBadStates(const std::vector<Variant>& variants, size_t v) {
  const Variant& variant = variants[v];
  INFO(variant.Name());
  const auto environment = variant.Make();
  std::vector<double> observation(environment->info().observation_size);
  REQUIRE(environment->SetTask(variant.Task(0)).ok());
  REQUIRE(environment->Reset(ResetStream(0), 0, observation).ok());
  const std::string state = environment->SaveState();
  const auto refused = [&](const std::string& bad) {
    return environment->RestoreState(bad, observation).code() == absl::StatusCode::kInvalidArgument;
  };
  for (size_t length :
       {size_t{0}, size_t{7}, size_t{9}, size_t{15}, state.size() / 2, state.size() - 1}) {
    INFO("first " << length << " bytes");
    CHECK(refused(state.substr(0, length)));
  }
  CHECK(refused(state + "x"));
  std::string nan = state;
  nan.replace(nan.size() - 8, 8, std::string(8, '\xff'));
  CHECK(refused(nan));
  // States of other environments: the next ones, which may be of the same family, and one far away.
  for (size_t away : {size_t{1}, size_t{2}, variants.size() / 2}) {
    const Variant& other = variants[(v + away) % variants.size()];
    if (other.Family() == variant.Family()) continue;
    const auto foreign = other.Make();
    std::vector<double> foreign_observation(foreign->info().observation_size);
    REQUIRE(foreign->SetTask(other.Task(0)).ok());
    REQUIRE(foreign->Reset(ResetStream(0), 0, foreign_observation).ok());
    CHECK(refused(foreign->SaveState()));
  }
  if (variant.Task(0).parameters_size() > 0) {
    uint32_t index = 1;
    while (variant.Task(index).SerializeAsString() == variant.Task(0).SerializeAsString()) ++index;
    REQUIRE(environment->SetTask(variant.Task(index)).ok());
    CHECK(refused(state));  // A state of another task.
    REQUIRE(environment->SetTask(variant.Task(0)).ok());
  }
  // Any byte may be wrong: an error or an episode, never a crash.
  const RandomStream random{.seed = 9};
  for (uint32_t i = 0; i < 300; ++i) {
    std::string altered = state;
    altered[random.Below(altered.size(), 0, i)] ^= static_cast<char>(1 << random.Below(8, 1, i));
    if (!environment->RestoreState(altered, observation).ok()) continue;
    (void)environment->Step(std::vector<float>(environment->info().action_size), observation);
  }
  // And the environment is still of use.
  REQUIRE(environment->Reset(ResetStream(0), 0, observation).ok());
  CHECK(environment->SaveState() == state);
}

}  // namespace mentor::envs::testing
