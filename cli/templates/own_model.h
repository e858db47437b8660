// A first task for a MuJoCo model that a user brings (`mentor new robot --model`): it brings a part
// of the robot to a place that random actions reach. One thread.
#pragma once

#include <filesystem>
#include <string>

#include <absl/status/statusor.h>

#include "cli/templates/fill.h"

namespace mentor::templates {

struct OwnModel {
  Files files;    // The bundle's, without task.txtpb.
  Places places;  // For the task and the README, except `name` and the sizes.
  int episode_steps = 0;
};

// Compiles the model, reads its parts, and tries random actions. `site`: what is to reach the
// place; empty: what looks like the robot's end and moves. INVALID_ARGUMENT names the flag
// --model or --site and the remedy.
absl::StatusOr<OwnModel> ReadOwnModel(const std::filesystem::path& model, const std::string& site);

}  // namespace mentor::templates
