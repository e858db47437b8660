// Where the models that come with others' packages lie. Pure but for the environment variable
// MENTOR_ASSETS.
#pragma once

#include <string>
#include <string_view>

namespace mentor::envs {

// `folder`, for instance "metaworld/assets", among the wheels that deploy/install.sh put there, or
// below MENTOR_ASSETS where that is set.
std::string AssetsFolder(std::string_view folder);

}  // namespace mentor::envs
