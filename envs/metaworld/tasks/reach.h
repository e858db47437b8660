// What reach-v3 and reach-wall-v3 share: the gripper goes to a point, the puck only lies there.
#pragma once

#include "envs/metaworld/tasks/puck.h"

namespace mentor::envs::metaworld {

class ReachTask : public PuckTask {
 public:
  using PuckTask::PuckTask;

  // Without the values of the info that the two have in different ways.
  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = Norm(s.tcp - e.target);
    const double place = T(dt, 0.05, Norm(s.hand0 - e.target));
    return {.reward = 10 * place,
            .success = dt <= 0.05,
            .near_object = 0,
            .grasp_success = 0,
            .grasp_reward = 0,
            .in_place_reward = place,
            .obj_to_target = dt};
  }
};

}  // namespace mentor::envs::metaworld
