// Environments in wrappers, for the conformance suite. A wrapper that registers itself must be
// named here, with settings that make it work.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/conformance/envs/environment_checks.h"

namespace mentor::envs::testing {

using Settings = std::vector<std::pair<std::string, std::string>>;

inline v1::WrapperSpec Spec(const std::string& name, const Settings& settings = {}) {
  v1::WrapperSpec spec;
  spec.set_name(name);
  for (const auto& [option, value] : settings) {
    v1::Option* set = spec.add_option();
    set->set_name(option);
    set->set_value(value);
  }
  return spec;
}

inline const Settings kPhysics = {
    {"mass_low", "0.7"},    {"mass_high", "1.5"},  {"friction_low", "0.5"}, {"friction_high", "2"},
    {"damping_low", "0.5"}, {"damping_high", "2"}, {"gain_low", "0.8"},     {"gain_high", "1.2"}};

inline Variant In(const std::string& environment, const std::vector<v1::WrapperSpec>& wrappers) {
  const EnvironmentEntry* entry = FindEnvironment(environment);
  INFO(environment);
  REQUIRE(entry != nullptr);
  return {entry, {}, WrapperList(wrappers.begin(), wrappers.end())};
}

inline std::vector<Variant> WrapperVariants() {
  const v1::WrapperSpec latency =
      Spec("domain_randomization", {{"latency_min", "1"}, {"latency_max", "4"}});
  Settings logarithmic = kPhysics;
  logarithmic.insert(logarithmic.end(), {{"distribution", "log_uniform"}, {"latency_max", "2"}});
  std::vector<Variant> variants;
  // Fixed and early ends, one action number and more, drawn tasks and none.
  for (const char* environment :
       {"point_reach", "umbrella_length", "maze", "contextual_bandit", "door-close-v3"}) {
    variants.push_back(In(environment, {latency}));
    variants.push_back(In(environment, {Spec("one_hot_task", {{"index", "2"}, {"count", "5"}})}));
    variants.push_back(In(environment, {Spec("reward_delay", {{"steps", "3"}})}));
    variants.push_back(In(environment, {Spec("rl2_observation")}));
    variants.push_back(In(environment, {Spec("sparse_reward", {{"shaped", "0.5"}})}));
    variants.push_back(In(environment, {Spec("time_feature")}));
  }
  for (const EnvironmentEntry* entry : Catalogue()) {
    if (entry->suite == "Gymnasium v5")
      variants.push_back(In(entry->name, {Spec("domain_randomization", kPhysics)}));
  }
  for (const char* environment : {"door-close-v3", "push-v3"}) {
    variants.push_back(In(environment, {Spec("domain_randomization", kPhysics)}));
    variants.push_back(In(environment, {Spec("domain_randomization", logarithmic)}));
  }
  // Several, innermost first.
  for (const char* environment : {"push-v3", "Walker2d-v5"}) {
    variants.push_back(
        In(environment, {Spec("domain_randomization", logarithmic), Spec("reward_delay"),
                         Spec("rl2_observation"), Spec("time_feature"), latency}));
  }
  return variants;
}

}  // namespace mentor::envs::testing
