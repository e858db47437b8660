// What handle-press and handle-press-side share: a handle that is pressed down.
#pragma once

#include "envs/metaworld/tasks/handle.h"

namespace mentor::envs::metaworld {

class HandlePressTask : public HandleTask {
 public:
  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = v.Head();
    Settle(v, w, e, -0.001);
    e.handle0 = Observe(w).position;
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = std::abs(s.o[2] - e.target[2]);
    const double place = T(dt, 0.02, std::abs(std::abs(e.handle0[2] - e.target[2]) - 0.02));
    const double d = Norm(s.o - s.tcp);
    const double grasp = T(d, 0.02, std::abs(Norm(e.handle0 - e.tcp0) - 0.02));
    const bool success = dt <= 0.02;
    return {.reward = 10 * (success ? 1 : H(grasp, place)),
            .success = success,
            .near_object = d <= 0.05,
            .grasp_success = 1,
            .grasp_reward = grasp,
            .in_place_reward = place,
            .obj_to_target = dt};
  }

 protected:
  explicit HandlePressTask(Names& names) : HandleTask(names, "handleStart", "goalPress") {}

  // Over the point, then down with full speed.
  static Advice PressDown(const Sight& s, const Vec3& point, double grip) {
    const bool over = s.LevelTo(point) <= 0.02;
    return {.to = point + Vec3{0, 0, over ? -0.5 : 0.2}, .gain = 25, .grip = grip};
  }
};

}  // namespace mentor::envs::metaworld
