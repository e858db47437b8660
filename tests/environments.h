// Environments in tests; their options are in tests/specs.h.
#pragma once

#include <string>
#include <vector>

#include "envs/environment.h"
#include "tests/specs.h"
#include "tests/testing.h"

namespace mentor::testing {

inline v1::EnvironmentTask Task(const std::string& environment,
                                const std::vector<double>& parameters = {},
                                bool goal_visible = false) {
  v1::EnvironmentTask task;
  task.set_environment(environment);
  task.mutable_parameters()->Add(parameters.begin(), parameters.end());
  task.set_goal_visible(goal_visible);
  return task;
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
