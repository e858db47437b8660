// Specs for tests of rules, options of any part that has them, and shapes of environments.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "mentor/v1/shard_service.pb.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::testing {

// part: a rule, signal network or inner loop.
template <typename Part>
void SetOption(Part* part, const std::string& name, const std::string& value) {
  v1::Option* option = part->add_option();
  option->set_name(name);
  option->set_value(value);
}

// options: pairs of names and values.
template <typename Part, typename Options>
void SetOptions(Part* part, const Options& options) {
  for (const auto& [name, value] : options) SetOption(part, name, value);
}

// Options of an environment, wrapper or part as a test writes them.
using Settings = std::vector<std::pair<std::string, std::string>>;

inline google::protobuf::RepeatedPtrField<v1::Option> Options(const Settings& settings) {
  v1::RuleSpec part;
  SetOptions(&part, settings);
  return part.option();
}

// The lifetimes that the test of each rule expects. No benchmark: batches are made up.
struct RuleSize {
  uint64_t seed = 5;
  int64_t lifetimes = 0, iterations = 0, steps = 0;
};
template <typename Options>
v1::ExperimentSpec SpecOfRule(const std::string& rule, const RuleSize& size,
                              const Options& options) {
  v1::ExperimentSpec spec;
  spec.set_seed(size.seed);
  spec.mutable_benchmark()->set_name("none");
  spec.mutable_lifetime()->set_iterations(static_cast<uint32_t>(size.iterations));
  spec.mutable_lifetime()->set_steps_per_iteration(static_cast<uint32_t>(size.steps));
  spec.mutable_rule()->set_name(rule);
  spec.mutable_rule()->set_lifetimes_per_update(static_cast<uint32_t>(size.lifetimes));
  SetOptions(spec.mutable_rule(), options);
  return spec;
}

// The shape of made-up environments.
struct ShapeSize {
  uint32_t observation = 3, action = 2, episode_steps = 10;
  bool independent_episodes = false, discrete_actions = false;
};
inline v1::EnvironmentShape Shape(const ShapeSize& size) {
  v1::EnvironmentShape shape;
  shape.set_observation_size(size.observation);
  shape.set_action_size(size.action);
  shape.set_episode_steps(size.episode_steps);
  shape.set_independent_episodes(size.independent_episodes);
  shape.set_discrete_actions(size.discrete_actions);
  return shape;
}

}  // namespace mentor::testing
