// What sweep-v3 and sweep-into-v3 share: a cube is swept over the table.
#include "envs/metaworld/tasks/puck.h"

namespace mentor::envs::metaworld {
namespace {

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
    const double reward = dt < 0.05 ? 10 : 2 * grasp + 6 * H(grasp, place);
    const bool held = s.g > 0 && s.world.Touching(puck_geom_);
    return {reward, dt <= 0.05, d <= 0.03, held, grasp, place, dt};
  }
};

// sweep-v3: sweep a cube off the table.
class Sweep : public SweepTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "sweep-v3",
      .summary = "Sweep a cube off the table (Meta-World).",
      .xml = "sawyer_xyz/sawyer_sweep_v3.xml",
      .rand_vec = {.size = 3, .low = {-0.1, 0.6, 0.02}, .high = {0.1, 0.7, 0.02}},
      .goal_low = {0.49, 0.6, 0},
      .goal_high = {0.51, 0.7, 0.02},
  };

  using SweepTask::SweepTask;

  Objects Observe(const World& w) const override { return {w.At(puck_), w.Orientation(puck_)}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    Settle(w, e, {v[0], v[1], 0.02}, {0.5, v[1], 0.01});
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    return Swept(s, e, e.target, {.radius = 0.02, .grip_margin = 0.01, .xz_bound = 0.005});
  }

  Advice Script(const Sight& s) const override {
    const Vec3 cube = Above(s.o, 0.015);
    const double grip = s.Near(s.o, 0.04, 0.15) && s.o[0] < 0.4 ? 0.7 : -1;
    if (s.hand[0] < 0.2) {
      if (s.LevelTo(cube) > 0.04) return {Above(cube, 0.3), 25, grip};
      if (s.HeightTo(cube) > 0.04) return {cube, 25, grip};
    }
    return {Above(s.goal, 0.1), 25, grip};
  }
};

// sweep-into-v3: sweep a cube into a hole in the table.
class SweepInto : public SweepTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "sweep-into-v3",
      .summary = "Sweep a cube into a hole in the table (Meta-World).",
      .xml = "sawyer_xyz/sawyer_table_with_hole.xml",
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.6, 0.02, -0.001, 0.8399, 0.0199},
                   .high = {0.1, 0.7, 0.02, 0.001, 0.8401, 0.0201},
                   .start_goal_min = 0.15,
                   .fixed_goal = {{0, 0.84}}},
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

const RegisterTasks<Sweep, SweepInto> kRegisterSweeps;

}  // namespace
}  // namespace mentor::envs::metaworld
