// push-back-v3: pull a puck along the table back to a goal.
#include "envs/metaworld/tasks/puck.h"

namespace mentor::envs::metaworld {
namespace {

class PushBack : public PuckTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "push-back-v3",
      .summary = "Pull a puck along the table back to a goal (Meta-World).",
      .xml = "sawyer_xyz/sawyer_push_back_v3.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.8, 0.02, -0.1, 0.6, 0.0199},
                   .high = {0.1, 0.85, 0.02, 0.1, 0.7, 0.0201},
                   .start_goal_min = 0.15},
      .goal_low = {-0.1, 0.6, 0.0199},
      .goal_high = {0.1, 0.7, 0.0201},
  };

  using PuckTask::PuckTask;

  Objects Observe(const World& w) const override { return {w.At(puck_geom_), w.R(puck_geom_)}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override { SettleOnTable(w, e, v); }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = Norm(s.o - e.target);
    const double d = Norm(s.o - s.tcp);
    const double dt0 = Norm(e.obj0 - e.target);
    const double place = T(dt, 0.05, dt0);
    const double grasp =
        CageSweep(s, e, s.o, {.radius = 0.007, .grip_margin = 0.003, .xz_bound = 0.01});
    double reward = H(grasp, place);
    if (d < 0.01 && s.g > 0 && s.g < 0.55 && dt0 - dt > 0.01) reward += 1 + 5 * place;
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
    const double grip = s.Near(s.o, 0.04, 0.05) ? 0.9 : 0;
    if (s.LevelTo(s.o) > 0.04) return {Above(s.o, 0.3), 10, grip};
    if (s.HeightTo(s.o) > 0.055) return {s.o, 10, grip};
    return {Above(s.goal, s.hand[2]), 10, grip};
  }
};

const RegisterTask<PushBack> kRegisterPushBack;

}  // namespace
}  // namespace mentor::envs::metaworld
