// The models of other packages: their place, and the check that they are the ones behind our
// numbers. Thread-safe; depends on the environment variable MENTOR_ASSETS.
#pragma once

#include <string>
#include <string_view>

#include <absl/status/statusor.h>

namespace mentor::envs {

// The path of `folder`, for instance "metaworld/assets". It lies below MENTOR_ASSETS where that is
// set. Otherwise it is the first of these that exists: ../share/mentor/assets beside the program;
// the folder of wheels that holds the program; the source tree's wheels (deploy/install.sh).
std::string AssetsFolder(std::string_view folder);

// The path of a model in such a folder. The model and every file that it names (includes, meshes,
// textures) must have the digests of deploy/assets.sha256: other bytes may load and give other
// numbers. FAILED_PRECONDITION names a missing or changed file.
absl::StatusOr<std::string> ModelFile(std::string_view folder, const std::string& xml);

}  // namespace mentor::envs
