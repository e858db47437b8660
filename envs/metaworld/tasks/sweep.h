// What sweep-v3 and sweep-into-v3 share: a cube is swept over the table.
#pragma once

#include "envs/metaworld/tasks/puck.h"

namespace mentor::envs::metaworld {

class SweepTask : public PuckTask {
 public:
  using PuckTask::PuckTask;

 protected:
  Outcome Swept(const StepView& s, const Episode& e, const Vec3& target,
                const SweepShape& shape) const {
    const double dt = Norm(s.o - target);
    const double d = Norm(s.o - s.tcp);
    const double place = T(dt, 0.05, Norm(e.obj0 - target));
    const double grasp = CageSweep(s, e, s.o, shape);
    return {.reward = dt < 0.05 ? 10 : 2 * grasp + 6 * H(grasp, place),
            .success = dt <= 0.05,
            .near_object = d <= 0.03,
            .grasp_success = s.g > 0 && s.world.Touching(puck_geom_),
            .grasp_reward = grasp,
            .in_place_reward = place,
            .obj_to_target = dt};
  }
};

}  // namespace mentor::envs::metaworld
