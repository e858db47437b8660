// The files of a MuJoCo model that a user brings, wherever they lie: the model, what it includes,
// and the meshes, textures and others that it names. One thread.
#pragma once

#include <filesystem>
#include <string>

#include <absl/status/statusor.h>

#include "cli/templates/fill.h"

namespace mentor::templates {

struct ModelFiles {
  Files files;        // By their paths from the smallest folder that holds them all.
  std::string model;  // The model's.
};

// INVALID_ARGUMENT says what is wrong with --model, and where a file is missing.
absl::StatusOr<ModelFiles> ReadModelFiles(const std::filesystem::path& model);

}  // namespace mentor::templates
