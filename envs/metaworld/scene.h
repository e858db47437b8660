// The Sawyer scenes of Meta-World: where their files lie and what is changed in them after loading.
#pragma once

#include <memory>
#include <string>

#include "envs/simulation.h"

namespace mentor::envs::metaworld {

// The shared model of a scene, for instance "sawyer_xyz/sawyer_push_v3.xml". FAILED_PRECONDITION
// when it does not load, or its files are not those of the package.
absl::StatusOr<std::shared_ptr<const mjModel>> LoadScene(const std::string& xml);

}  // namespace mentor::envs::metaworld
