// Measurements of speed and size: `mentor-bench NAME` measures one round of one of them, and
// tests/bench/run.py makes rounds, medians and ratios to peers (docs/performance.md). Nothing here
// asserts a time.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "kernels/device.h"

namespace mentor::bench {

struct Figure {
  double value = 0;
  std::string unit;  // "ratio", "s", "ms", "steps/s"
};
using Figures = std::map<std::string, Figure>;

struct Settings {
  kernels::Device device = {};
  std::vector<std::string> environments = {};  // The measurement chooses if there are none.
};

// Each measures one round, warm-up included. UNIMPLEMENTED: not with these settings, or not here.

// CPU time of a step against the simulator alone along the same motion; resets; two threads. Here
// the folder of a bundle is an environment, too.
absl::StatusOr<Figures> MeasureEnv(const Settings& settings);
// Gymnasium's environments in another process, as an actor requests them.
absl::StatusOr<Figures> MeasureHost(const Settings& settings);
// Steps a second of many environments on all cores, whose threads never wait for each other: the
// reference of vector.py.
absl::StatusOr<Figures> MeasureLoop(const Settings& settings);
// Resident memory with every Meta-World environment in each of two threads, as in an actor.
absl::StatusOr<Figures> MeasureMemory(const Settings& settings);
// An optimizer step of stacked agents against LibTorch.
absl::StatusOr<Figures> MeasurePpo(const Settings& settings);
// The signal network along a lifetime, and an epoch of the outer PPO, against LibTorch.
absl::StatusOr<Figures> MeasureSignal(const Settings& settings);
// Time and memory of differentiated updates.
absl::StatusOr<Figures> MeasureMetaGradient(const Settings& settings);
// CPU seconds of one outer update of ML1 through the whole system, by phase.
absl::StatusOr<Figures> MeasureLifetime(const Settings& settings);

}  // namespace mentor::bench
