// The Sawyer scenes of Meta-World: where their files lie and what is changed in them after loading.
#pragma once

#include <memory>
#include <string>

#include "envs/simulation.h"

namespace mentor::envs::metaworld {

// The folder that deploy/install.sh made, or metaworld/assets below MENTOR_ASSETS where that is
// set.
std::string AssetsFolder();

// The shared model of a scene, for instance "sawyer_xyz/sawyer_push_v3.xml". FAILED_PRECONDITION
// when it does not load.
absl::StatusOr<std::shared_ptr<const mjModel>> LoadScene(const std::string& xml);

}  // namespace mentor::envs::metaworld
