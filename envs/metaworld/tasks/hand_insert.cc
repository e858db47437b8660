// hand-insert-v3: bring a block with the hand into a hole of the table.
#include "envs/metaworld/tasks/puck.h"

namespace mentor::envs::metaworld {
namespace {

class HandInsert : public PuckTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "hand-insert-v3",
      .summary = "Bring a block into a hole of the table (Meta-World).",
      .xml = "sawyer_xyz/sawyer_table_with_hole.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .mocap_low = {-0.5, 0.4, -0.15},
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.6, 0.05, -0.04, 0.8, -0.0201},
                   .high = {0.1, 0.7, 0.05, 0.04, 0.88, -0.0199},
                   .start_goal_min = 0.15},
  };

  using PuckTask::PuckTask;

  Objects Observe(const World& w) const override { return {w.At(puck_), w.Orientation(puck_)}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    Settle(w, e, {v[0], v[1], 0.05}, v.Tail());
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = Norm(s.o - e.target);
    const double place = T(dt, 0.05, Norm(e.obj0 - e.target));
    const double d = Norm(s.o - s.tcp);
    const double grasp = Cage(s, e, s.o, {0.015, 0.05, 0, 0.005, 1, CageShape::kHigh});
    double reward = H(grasp, place) + (d < 0.02 && s.g > 0 ? 1 + 7 * place : 0);
    if (dt < 0.05) reward = 10;
    return {reward, dt <= 0.05, d <= 0.03, Grasped(s, e), grasp, place, dt};
  }

  Advice Script(const Sight& s) const override {
    const double grip = s.Near(s.o, 0.02, 0.1) ? 0.65 : 0;
    if (s.LevelTo(s.o) > 0.02) return {Above(s.o, 0.1), 10, grip};
    if (s.HeightTo(s.o) > 0.05) return {Above(s.o, 0.03), 10, grip};
    if (s.LevelTo(s.goal) > 0.04) return {{s.goal[0], s.goal[1], s.hand[2]}, 10, grip};
    return {s.goal, 10, grip};
  }
};

const RegisterTasks<HandInsert> kRegisterHandInsert;

}  // namespace
}  // namespace mentor::envs::metaworld
