#include "envs/metaworld/scene.h"

#include <algorithm>

#include "common/check.h"
#include "envs/assets.h"

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

absl::StatusOr<std::shared_ptr<const mjModel>> LoadScene(const std::string& xml) {
  MENTOR_ASSIGN_OR_RETURN(const std::string path, ModelFile("metaworld/assets", xml));
  return LoadModel(path, PrepareModel);
}

}  // namespace mentor::envs::metaworld
