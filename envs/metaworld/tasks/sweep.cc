// sweep-v3: sweep a cube off the table.
#include "envs/metaworld/tasks/sweep.h"

namespace mentor::envs::metaworld {
namespace {

class Sweep : public SweepTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "sweep-v3",
      .summary = "Sweep a cube off the table (Meta-World).",
      .xml = "sawyer_xyz/sawyer_sweep_v3.xml",
      .hand0 = {0, 0.6, 0.2},
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

const RegisterTask<Sweep> kRegisterSweep;

}  // namespace
}  // namespace mentor::envs::metaworld
