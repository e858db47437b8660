// The Sawyer scenes of Meta-World: where their files lie and what is changed in them after loading.
#pragma once

#include <memory>
#include <string>

#include "envs/simulation.h"

namespace mentor::envs::metaworld {

// The file of a scene, for instance "sawyer_xyz/sawyer_push_v3.xml".
std::string SceneFile(const std::string& xml);

// Its shared model. FAILED_PRECONDITION when it does not load.
absl::StatusOr<std::shared_ptr<const mjModel>> LoadScene(const std::string& xml);

}  // namespace mentor::envs::metaworld
