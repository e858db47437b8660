// Cameras of MuJoCo scenes: those of the model, and an own view where the model has no good one.
// Pure; threads may share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>
#include <mujoco/mujoco.h>

namespace mentor::envs {

// Names that FindCamera knows, the default first. "free" looks at the whole scene.
std::vector<std::string> CameraNames(const mjModel& model);

// Empty: the default. NOT_FOUND lists the cameras.
absl::StatusOr<mjvCamera> FindCamera(const mjModel& model, std::string_view name);

}  // namespace mentor::envs
