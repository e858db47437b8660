#include "envs/metaworld/scene.h"

#include <algorithm>
#include <cstdlib>

namespace mentor::envs::metaworld {
namespace {

// The reference overwrites the weld between mocap body and hand after loading: anchor 0, relative
// position 0, relative quaternion (-1, 0, 0, 0), torque scale 5.
void PrepareModel(mjModel& model) {
  constexpr double kWeld[mjNEQDATA] = {0, 0, 0, 0, 0, 0, -1, 0, 0, 0, 5};
  for (int i = 0; i < model.neq; ++i) {
    if (model.eq_type[i] == mjEQ_WELD) std::copy_n(kWeld, mjNEQDATA, model.eq_data + mjNEQDATA * i);
  }
}

}  // namespace

std::string AssetsFolder() {
  const char* assets = std::getenv("MENTOR_ASSETS");
  return assets != nullptr ? std::string(assets) + "/metaworld/assets" : MENTOR_METAWORLD_ASSETS;
}

absl::StatusOr<std::shared_ptr<const mjModel>> LoadScene(const std::string& xml) {
  return LoadModel(AssetsFolder() + "/" + xml, PrepareModel);
}

}  // namespace mentor::envs::metaworld
