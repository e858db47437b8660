// bin-picking-v3: move a cube from one bin to another.
#include "envs/metaworld/tasks/approach.h"

namespace mentor::envs::metaworld {
namespace {

class BinPicking : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "bin-picking-v3",
      .summary = "Move a cube from one bin to another (Meta-World).",
      .xml = "sawyer_xyz/sawyer_bin_picking.xml",
      .mocap_low = {-0.5, 0.4, 0.07},
      .rand_vec = {.size = 6,
                   .low = {-0.21, 0.65, 0.02, 0.1199, 0.699, -0.001},
                   .high = {-0.03, 0.75, 0.02, 0.1201, 0.701, 0.001}},
  };

  explicit BinPicking(Names& names) : cube_(names.Body("obj")), bin_(names.Body("bin_goal")) {}

  Objects Observe(const World& w) const override { return {w.At(cube_), w.Orientation(cube_)}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = {v[0], v[1], w.At(cube_)[2]};  // The rest of v is not used.
    w.PutObject(e.obj0);
  }

  void Live(const World& w, Episode& e) const override { e.target = w.At(bin_); }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = Norm(s.o - e.target);
    if (e.first < 0) e.first = dt;
    const double place = T(dt, 0.05, e.first);
    // Between the bins the hand stays above their walls.
    const auto floor_around = [&s](const Vec3& p) {
      return Funnel(Norm(s.hand[0] - p[0], s.hand[1] - p[1]), 0.03, 0.02, 0.2);
    };
    const double floor = std::min(floor_around(e.obj0), floor_around(e.target));
    const double above = HandAbove(s, floor, /*margin=*/0.05);
    const double grasp = Cage(s, e, s.o, {0.015, 0.05, 0, 0.01, 0.7, CageShape::kHigh});
    const bool near = Norm(s.o - s.hand) < 0.04;
    const bool held = near && s.o[2] - 0.02 > e.obj0[2] && s.g >= 0.43;
    double reward = H(grasp, place) + (held ? 1 + 5 * H(above, place) : 0);
    if (dt < 0.05) reward = 10;
    return {reward, dt <= 0.05, near, held, grasp, place, dt};
  }

  Advice Script(const Sight& s) const override {
    // Aim at the middle of the bin, so that no finger comes down outside: the fingers drag the
    // cube there when they close.
    const Vec3 cube = {s.o[0], Clip(s.o[1], 0.675, 0.725), s.o[2] + 0.03};
    const Vec3 bin = {0.12, 0.7, 0.02};
    const double grip = s.Near(cube, 0.02, 0.02) ? 0.6 : -1;
    if (s.LevelTo(cube) > 0.02) return {Above(cube, 0.15), 25, grip};
    if (s.HeightTo(cube) > 0.01) return {cube, 25, grip};
    if (s.LevelTo(bin) <= 0.02) return {bin, 25, grip};
    if (s.hand[2] < 0.15) return {Above(s.hand, 0.1), 25, grip};
    return {{bin[0], bin[1], 0.18}, 25, grip};
  }

 private:
  const BodyId cube_, bin_;
};

const RegisterTasks<BinPicking> kRegisterBinPicking;

}  // namespace
}  // namespace mentor::envs::metaworld
