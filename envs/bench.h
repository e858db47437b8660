// Speed of environments against the bare simulator, for the rows `env` of goals.md. Every figure is
// a ratio within one run, from interleaved rounds; times are CPU times of the measuring thread,
// medians over rounds.
#pragma once

#include <string>
#include <vector>

#include <absl/status/statusor.h>

namespace mentor::envs {

struct BenchSettings {
  int rounds = 5;
  int goals = 50;  // Divided among the rounds; each is one episode of 500 steps in each of the
                   // interleaved passes.
};

struct SceneBench {
  std::string environment;
  // Microseconds.
  double bare_us = 0;         // 5 x mj_step with the same mocap motion and controls.
  double step_us = 0;         // Step, with observation and reward.
  double reset_us = 0;        // Reset to a goal seen before.
  double first_reset_us = 0;  // Reset to a new goal.
  // Ratios to bare_us; 1 would mean that the environment costs nothing.
  double step_ratio = 0;         // bare / step
  double with_resets_ratio = 0;  // bare / (step + reset / 500)
};

struct EnvironmentBench {
  std::vector<SceneBench> scenes;  // Every Meta-World environment of the catalogue, by name.
  // Geometric means over scenes.
  double step_ratio = 0;
  double with_resets_ratio = 0;
  // Steps a second of two threads over those of one, by the wall clock; and the same reckoned from
  // CPU times (2 x alone / together), which other work on the machine disturbs less.
  double two_threads_ratio = 0;
  double two_threads_cpu_ratio = 0;
};

absl::StatusOr<EnvironmentBench> BenchEnvironments(const BenchSettings& settings);

}  // namespace mentor::envs
