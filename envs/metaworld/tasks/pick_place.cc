// pick-place-v3: pick up a puck and place it at a goal in the air.
#include "envs/metaworld/tasks/puck.h"

namespace mentor::envs::metaworld {
namespace {

class PickPlace : public PuckTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "pick-place-v3",
      .summary = "Pick up a puck and place it at a goal in the air (Meta-World).",
      .xml = "sawyer_xyz/sawyer_pick_place_v3.xml",
      .hand0 = {0, 0.6, 0.2},
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.6, 0.02, -0.1, 0.8, 0.05},
                   .high = {0.1, 0.7, 0.02, 0.1, 0.9, 0.3},
                   .start_goal_min = 0.15},
      .goal_low = {-0.1, 0.8, 0.05},
      .goal_high = {0.1, 0.9, 0.3},
  };

  using PuckTask::PuckTask;

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = Norm(s.o - e.target);
    const double d = Norm(s.o - s.tcp);
    const double place = T(dt, 0.05, Norm(e.obj0 - e.target));
    const double grasp = CagePick(s, e, s.o);
    double reward = H(grasp, place);
    if (d < 0.02 && s.g > 0 && s.o[2] - 0.01 > e.obj0[2]) reward += 1 + 5 * place;
    if (dt < 0.05) reward = 10;
    return {.reward = reward,
            .success = dt <= 0.07,
            .near_object = d <= 0.03,
            .grasp_success = Grasped(s, e),
            .grasp_reward = grasp,
            .in_place_reward = place,
            .obj_to_target = dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 puck = s.o + Vec3{-0.005, 0, 0};
    const double grip = Norm(s.hand - s.o) < 0.07 ? 1 : 0;
    if (s.LevelTo(puck) > 0.02) return {Above(puck, 0.1), 10, grip};
    if (s.HeightTo(puck) > 0.05 && puck[2] < 0.04) return {Above(puck, 0.03), 10, grip};
    if (s.g > 0.73) return {s.hand, 10, grip};  // The fingers are still closing.
    return {s.goal, 10, grip};
  }
};

const RegisterTask<PickPlace> kRegisterPickPlace;

}  // namespace
}  // namespace mentor::envs::metaworld
