// push-v3: push a puck along the table to a goal.
#include "envs/metaworld/tasks/puck.h"

namespace mentor::envs::metaworld {
namespace {

class Push : public PuckTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "push-v3",
      .summary = "Push a puck along the table to a goal (Meta-World).",
      .xml = "sawyer_xyz/sawyer_push_v3.xml",
      .hand0 = {0, 0.6, 0.2},
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.6, 0.02, -0.1, 0.8, 0.01},
                   .high = {0.1, 0.7, 0.02, 0.1, 0.9, 0.02},
                   .start_goal_min = 0.15},
      .goal_low = {-0.1, 0.8, 0.01},
      .goal_high = {0.1, 0.9, 0.02},
  };

  using PuckTask::PuckTask;

  void Reset(const RandVec& v, World& w, Episode& e) const override { SettleOnTable(w, e, v); }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = Norm(s.o - e.target);
    const double d = Norm(s.o - s.tcp);
    const double place = T(dt, 0.05, Norm(e.obj0 - e.target));
    const double grasp = Cage(s, e, s.o,
                              {.radius = 0.015,
                               .pad_margin = 0.05,
                               .xz_bound = 0.005,
                               .effort = 1,
                               .density = CageShape::kHigh});
    double reward = d < 0.02 && s.g > 0 ? 4 * grasp + 1 + 5 * place : 2 * grasp;
    if (dt < 0.05) reward = 10;
    return {.reward = reward,
            .success = dt <= 0.05,
            .near_object = d <= 0.03,
            .grasp_success = Grasped(s, e),
            .grasp_reward = grasp,
            .in_place_reward = place,
            .obj_to_target = dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 puck = s.o + Vec3{-0.005, 0, 0};
    const double grip = s.Near(s.o, 0.02, 0.1) ? 0.6 : 0;
    if (s.LevelTo(puck) > 0.02) return {Above(puck, 0.2), 10, grip};
    if (s.HeightTo(puck) > 0.04) return {Above(puck, 0.03), 10, grip};
    return {s.goal, 10, grip};
  }
};

const RegisterTask<Push> kRegisterPush;

}  // namespace
}  // namespace mentor::envs::metaworld
