// Steps that have no result: numbers that are not finite, a simulation that MuJoCo calls unstable.
// They depend on the unit alone, so every actor fails alike. The wrapper `failed_step` ends the
// episode there instead (envs/wrappers/failed_step.cc). Pure functions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace mentor {

inline constexpr char kFailedStepWrapper[] = "failed_step";
// Flags of Trajectory.terminations: the task ended, or a step failed and the wrapper ended it.
inline constexpr char kTaskEnded = 1, kStepFailed = 2;
// How many steps failed; a statistic of shards and a metric of updates, as a mean over lifetimes.
inline constexpr char kFailedStepsMetric[] = "failed_steps";

// The ends of such failures' messages. They are the remedy for people, and tell learners that no
// other actor would do better.
inline constexpr std::string_view kFailedStepRemedy =
    "; such a step is the same on every actor: mend the environment, or end episodes there by "
    "benchmark.wrapper { name: \"failed_step\" }";
inline constexpr std::string_view kFailedResetRemedy =
    "; such a reset is the same on every actor: mend the environment";

inline bool IsSameEverywhere(std::string_view error) {
  return error.ends_with(kFailedStepRemedy) || error.ends_with(kFailedResetRemedy);
}
inline int64_t CountFailedSteps(std::string_view terminations) {
  return std::count(terminations.begin(), terminations.end(), kStepFailed);
}

}  // namespace mentor
