// The model of a bundle, compiled by a separate process: this process's MJCF parser never sees a
// foreign file. `mentor-mjcf` (envs/mjcf/main.cc) may read only the bundle's folder, within bounds
// of memory and time. This process loads its output. Owners share the places for such processes
// (common/pause_point.h names the owner). Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include <absl/status/statusor.h>
#include <mujoco/mujoco.h>

#include "common/bundle_finder.h"

namespace mentor::envs::mjcf {

struct CompilerLimits {
  uint64_t memory_bytes = uint64_t{3} << 30;  // Address space of the child.
  int cpu_seconds = 60;
  std::chrono::seconds wall = std::chrono::seconds(180);
  uint64_t model_bytes = uint64_t{512} << 20;  // Limit of the compiled model.
};

// INVALID_ARGUMENT when the model is bad, too large, or ends the compiler, with its last words.
// UNAVAILABLE when this took too long or was killed. NOT_FOUND without the program. A pause point
// (common/pause_point.h): CANCELLED when the work must end, and the compiler with it.
absl::StatusOr<std::shared_ptr<const mjModel>> CompileModel(const HeldBundle& bundle,
                                                            const std::string& file,
                                                            const CompilerLimits& limits = {});

// Checks the cost of a model. INVALID_ARGUMENT says what is too much, before anything is made of
// it.
absl::Status CheckModelSize(const mjModel& model);

}  // namespace mentor::envs::mjcf
