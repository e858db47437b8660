// Speed of environments against the bare simulator, for the rows `env` of docs/performance.md.
// Every ratio is of one run, from interleaved rounds: medians over rounds of CPU times of the
// measuring thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

namespace mentor::bench {

struct BenchSettings {
  int rounds = 5;
  std::vector<std::string> only = {};  // These environments; all on MuJoCo when empty.
  // Another implementation: microseconds of CPU time of one step, resets included, over `steps`
  // steps. Asked once in each round. NOT_FOUND: it has no such environment.
  std::function<absl::StatusOr<double>(std::string_view environment, int steps, uint32_t seed)>
      peer = nullptr;
};

struct SceneBench {
  std::string environment, suite;
  // Microseconds.
  double bare_us = 0;         // The step's calls of mj_step, along the same motion.
  double step_us = 0;         // Step, with observation and reward.
  double reset_us = 0;        // Reset, in Meta-World to a goal seen before.
  double first_reset_us = 0;  // Reset to a new goal.
  double total_us = 0;        // A step with its share of the resets.
  double peer_us = 0;         // 0: the peer cannot tell.
  std::string peer_error = {};
  // Ratios within a round; 1 would mean that the environment costs nothing.
  double step_ratio = 0;           // bare / step
  double with_resets_ratio = 0;    // bare / total
  double peer_bare_ratio = 0;      // bare / peer
  double ahead_of_peer_ratio = 0;  // peer / total
};

struct SuiteBench {
  std::string suite;
  // Geometric means over scenes.
  double step_ratio = 0, with_resets_ratio = 0;
  double peer_bare_ratio = 0, ahead_of_peer_ratio = 0;  // 0 without a peer.
  // Steps a second of two threads over those of one, by the wall clock; and the same reckoned from
  // CPU times (2 x alone / together), which other work on the machine disturbs less. For the first
  // scene.
  double two_threads_ratio = 0;
  double two_threads_cpu_ratio = 0;
};

struct EnvironmentBench {
  std::vector<SceneBench> scenes;  // By name.
  std::vector<SuiteBench> suites;  // Likewise.
};

absl::StatusOr<EnvironmentBench> BenchEnvironments(const BenchSettings& settings);

}  // namespace mentor::bench
