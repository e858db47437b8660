// Environments in wrappers, for the conformance suite: every registered wrapper with the examples
// of its registration.
#pragma once

#include <string>
#include <vector>

#include "common/registry.h"
#include "tests/conformance/envs/environment_checks.h"
#include "tests/specs.h"

namespace mentor::envs::testing {

using mentor::testing::Settings;

inline v1::WrapperSpec Spec(const std::string& name, const Settings& settings = {}) {
  v1::WrapperSpec spec;
  spec.set_name(name);
  *spec.mutable_option() = mentor::testing::Options(settings);
  return spec;
}

inline std::vector<v1::WrapperSpec> Examples(const WrapperEntry& entry) {
  std::vector<v1::WrapperSpec> examples;
  for (const Settings& settings : entry.examples) examples.push_back(Spec(entry.name, settings));
  if (examples.empty()) examples.push_back(Spec(entry.name));
  return examples;
}

inline Variant In(const std::string& environment, const std::vector<v1::WrapperSpec>& wrappers) {
  const EnvironmentEntry* entry = FindEnvironment(environment);
  INFO(environment);
  REQUIRE(entry != nullptr);
  return {entry, {}, WrapperList(wrappers.begin(), wrappers.end())};
}

// True if the wrapper accepts this environment: some wrappers need physics.
inline bool Takes(const std::string& environment, const v1::WrapperSpec& wrapper) {
  const Variant variant = In(environment, {wrapper});
  return Wrap(MakeEnvironment(environment, {}).value(), variant.wrappers).ok();
}

inline std::vector<Variant> WrapperVariants() {
  // Fixed and early ends, one action number and more, drawn tasks and none.
  const std::vector<std::string> diverse = {"point_reach", "umbrella_length", "maze",
                                            "contextual_bandit", "door-close-v3"};
  std::vector<std::string> simulated = {"door-close-v3", "push-v3"};
  for (const EnvironmentEntry* entry : CompleteEnvironments()) {
    if (entry->suite == "Gymnasium v5") simulated.push_back(entry->name);
  }
  std::vector<Variant> variants;
  for (const WrapperEntry* entry : Wrappers()) {
    for (const v1::WrapperSpec& wrapper : Examples(*entry)) {
      // Wrappers that touch physics are tried on many kinds of environments.
      const bool any = Takes("point_reach", wrapper);
      for (const std::string& environment : any ? diverse : simulated)
        variants.push_back(In(environment, {wrapper}));
    }
  }
  // Several, innermost first.
  const std::vector<v1::WrapperSpec> physics =
      Examples(*Registry<WrapperEntry>::Instance().Find("domain_randomization"));
  for (const char* environment : {"push-v3", "Walker2d-v5"}) {
    variants.push_back(
        In(environment, {physics.back(), Spec("reward_delay"), Spec("rl2_observation"),
                         Spec("time_feature"), physics.front()}));
  }
  return variants;
}

}  // namespace mentor::envs::testing
