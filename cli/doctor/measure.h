// Measures a spec for `mentor doctor`: random agents, and PPO within lifetimes of the spec and
// longer ones. Same spec and seed, same numbers.
#pragma once

#include <cstdint>

#include <absl/status/statusor.h>

#include "cli/doctor/measurement.h"
#include "kernels/device.h"
#include "meta_learner/experiment/checked_spec.h"

namespace mentor::doctor {

struct MeasureOptions {
  meta_learner::CheckedSpec checked;
  uint64_t steps = 0;  // Environment steps of everything together, about.
  int threads = 1;
  kernels::Device device = {};
  bool quiet = false;  // No progress bar.
};

// How many lifetimes of each kind the steps pay for.
struct Plan {
  uint64_t iteration_steps = 0, lifetime_steps = 0;
  int lifetimes = 0;  // They have the spec's length; on each reward.
  struct Longer {
    uint32_t iterations = 0;
    int lifetimes = 0;
  };
  std::vector<Longer> longer = {};
  // The steps of everything that may be measured.
  uint64_t steps() const;
};
Plan PlanOf(const v1::ExperimentSpec& spec, uint64_t steps);

// CANCELLED after a signal.
absl::StatusOr<Measured> Measure(const MeasureOptions& options);

}  // namespace mentor::doctor
