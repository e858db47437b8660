// sweep-into-v3: sweep a cube into a hole in the table.
#include "envs/metaworld/tasks/sweep.h"

namespace mentor::envs::metaworld {
namespace {

class SweepInto : public SweepTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "sweep-into-v3",
      .summary = "Sweep a cube into a hole in the table (Meta-World).",
      .xml = "sawyer_xyz/sawyer_table_with_hole.xml",
      .hand0 = {0, 0.6, 0.2},
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.6, 0.02, -0.001, 0.8399, 0.0199},
                   .high = {0.1, 0.7, 0.02, 0.001, 0.8401, 0.0201},
                   .start_goal_min = 0.15,
                   .fixed_goal = {{0, 0.84}}},
      .goal_low = {-0.001, 0.8399, 0.0199},
      .goal_high = {0.001, 0.8401, 0.0201},
  };

  using SweepTask::SweepTask;

  // The hole stays where it is: of v only where the cube starts is used.
  void Reset(const RandVec& v, World& w, Episode& e) const override {
    Settle(w, e, {v[0], v[1], w.At(puck_)[2]}, {0, 0.84, 0.02});
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    return Swept(s, e, {e.target[0], e.target[1], s.o[2]},
                 {.radius = 0.02, .grip_margin = 0.005, .xz_bound = 0.01});
  }

  Advice Script(const Sight& s) const override {
    const Vec3 cube = s.o + Vec3{-0.005, 0, 0.01};
    const double grip = s.Near(s.o, 0.04, 0.15) ? 0.7 : -1;
    if (s.LevelTo(cube) > 0.04) return {Above(cube, 0.3), 25, grip};
    if (s.HeightTo(cube) > 0.04) return {cube, 25, grip};
    return {s.goal, 25, grip};
  }
};

const RegisterTask<SweepInto> kRegisterSweepInto;

}  // namespace
}  // namespace mentor::envs::metaworld
