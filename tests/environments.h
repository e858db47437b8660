// Options and steps of environments, for tests.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "envs/environment.h"
#include "tests/testing.h"

namespace mentor::testing {

// Options of an environment or wrapper as a test writes them.
using Settings = std::vector<std::pair<std::string, std::string>>;

inline google::protobuf::RepeatedPtrField<v1::Option> Options(const Settings& settings) {
  google::protobuf::RepeatedPtrField<v1::Option> options;
  for (const auto& [name, value] : settings) {
    v1::Option* option = options.Add();
    option->set_name(name);
    option->set_value(value);
  }
  return options;
}

// A step that must go well.
inline envs::StepOutcome Act(envs::Environment& environment, const std::vector<float>& action,
                             std::vector<double>* observation) {
  const auto outcome = environment.Step(action, *observation);
  INFO(outcome.status().ToString());
  REQUIRE(outcome.ok());
  return *outcome;
}

}  // namespace mentor::testing
