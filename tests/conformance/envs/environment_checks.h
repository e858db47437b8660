// What every registered environment must do, as a library of checks: catalogue_test.cc calls them
// for the whole catalogue.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "envs/environment.h"
#include "tests/testing.h"

namespace mentor::envs::testing {

using OptionList = google::protobuf::RepeatedPtrField<v1::Option>;

// An environment with its options.
struct Variant {
  const EnvironmentEntry* entry = nullptr;
  OptionList options;

  std::string Name() const {
    std::string name = entry->name;
    for (const v1::Option& option : options) name += " " + option.name() + "=" + option.value();
    return name;
  }
  std::unique_ptr<Environment> Make() const {
    absl::StatusOr<std::unique_ptr<Environment>> made = MakeEnvironment(entry->name, options);
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

}  // namespace mentor::envs::testing
