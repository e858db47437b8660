// The models that come with others' packages: where they lie, and whether they are the ones that
// our numbers belong to. Thread-safe; depends on the environment variable MENTOR_ASSETS.
#pragma once

#include <string>
#include <string_view>

#include <absl/status/statusor.h>

namespace mentor::envs {

// `folder`, for instance "metaworld/assets": below MENTOR_ASSETS where that is set; else the first
// that is there of ../share/mentor/assets beside the program, the folder of wheels that the program
// was installed into, and the wheels of the source tree (deploy/install.sh).
std::string AssetsFolder(std::string_view folder);

// The path of a model in such a folder, once it and every file that it names (includes, meshes,
// textures) have the digests of deploy/assets.sha256: a model with other bytes may load and give
// other numbers. FAILED_PRECONDITION names the file that is missing or has changed.
absl::StatusOr<std::string> ModelFile(std::string_view folder, const std::string& xml);

}  // namespace mentor::envs
