// Speed of environments against the bare simulator, for the rows `env` of docs/performance.md. In
// one round the environment and the simulator alone take turns. Times are CPU times of the
// measuring thread.
#pragma once

#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "mentor/v1/spec.pb.h"

namespace mentor::bench {

struct SceneBench {
  std::string environment, suite;
  // Microseconds.
  double bare_us = 0;         // The step's calls of mj_step alone, along the same motion.
  double step_us = 0;         // Step, with observation and reward.
  double reset_us = 0;        // Reset, in Meta-World to a goal seen before.
  double first_reset_us = 0;  // Reset to a new goal.
  double total_us = 0;        // A step with its share of the resets.
  // 1 would mean that the environment costs nothing.
  double step_ratio = 0;         // bare / step
  double with_resets_ratio = 0;  // bare / total
};

struct SuiteBench {
  std::string suite;
  int scenes = 0;
  // Geometric means over scenes.
  double step_ratio = 0, with_resets_ratio = 0, total_us = 0;
  // Steps a second of two threads over those of one, by the wall clock, for the first scene. The
  // second ratio comes from CPU times (2 x alone / together); other work on the machine disturbs it
  // less.
  double two_threads_ratio = 0;
  double two_threads_cpu_ratio = 0;
};

struct EnvironmentBench {
  std::vector<SceneBench> scenes;  // By name.
  std::vector<SuiteBench> suites;  // Likewise.
};

// Two environments with the same tasks and actions. They take turns.
struct PairBench {
  // Microseconds of a step with its share of the resets.
  double first_us = 0, second_us = 0;
};
struct Contestant {
  std::string environment;
  google::protobuf::RepeatedPtrField<v1::Option> options = {};
};
absl::StatusOr<PairBench> BenchPair(const Contestant& first, const Contestant& second);

// Measures these environments; all on MuJoCo when empty.
absl::StatusOr<EnvironmentBench> BenchEnvironments(const std::vector<std::string>& only);

}  // namespace mentor::bench
