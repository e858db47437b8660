// Tasks with bins or a box.
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
    if (e.first < 0) e.first = s.dt;
    const double place = T(s.dt, 0.05, e.first);
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
    if (s.dt < 0.05) reward = 10;
    return {reward, s.dt <= 0.05, near, held, grasp, place, s.dt};
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

class BoxClose : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "box-close-v3",
      .summary = "Put the lid on a box (Meta-World).",
      .xml = "sawyer_xyz/sawyer_box.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 6,
                   .low = {-0.05, 0.5, 0.02, -0.1, 0.7, 0.133},
                   .high = {0.05, 0.55, 0.02, 0.1, 0.8, 0.133},
                   .start_goal_min = 0.25},
  };

  explicit BoxClose(Names& names)
      : lid_(names.Body("top_link")), box_(names.Body("boxbody")), goal_(names.Site("goal")) {}

  Objects Observe(const World& w) const override { return {w.At(lid_), w.Orientation(lid_)}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = {v[0], v[1], 0.02f};
    e.target = v.Tail();
    w.SetBodyPos(box_, {e.target[0], e.target[1], w.At(box_)[2]});
    w.Steps(5);
    w.PutObject(e.obj0);
    w.SetSitePos(goal_, e.target);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double grasp = (Clip(s.a[3], -1, 1) + 1) / 2;
    const double upright = Aligned(s.q, {0.707, 0, 0, 0.707}, 0.2);
    const Vec3 lid = Above(s.o, 0.02);
    const double floor = Funnel(Norm(s.hand[0] - lid[0], s.hand[1] - lid[1]), 0.02, 0.04, 0.4);
    const double above = HandAbove(s, floor, /*margin=*/floor / 2);
    const double ready = H(above, T(Norm(s.hand - lid), 0.02, 0.5));
    const double place =
        0.2 * (lid[2] > 0.04) + 0.8 * T(Norm((e.target - lid) * Vec3{1, 1, 3}), 0.05, 0.25);
    const bool success = Norm(s.o - e.target) < 0.08;
    // Also a solved step is worth less when the lid is askew.
    const double reward = (success ? 10 : 2 * H(grasp, ready) + 8 * place) * upright;
    return {reward, success, ready, grasp >= 0.5, grasp, place, 0};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 lid = Above(s.o, 0.02);
    const Vec3 box = {s.goal[0], s.goal[1], 0.15};
    const double grip = s.Near(lid, 0.01, 0.13) ? 1 : 0.5;
    if (s.LevelTo(lid) > 0.01) return {{lid[0], lid[1], 0.2}, 25, grip};
    if (s.HeightTo(lid) > 0.05) return {lid, 25, grip};
    if (s.HeightTo(box) > 0.04) return {{s.hand[0], s.hand[1], box[2]}, 25, grip};
    return {box, 25, grip};
  }

 private:
  const BodyId lid_, box_;
  const SiteId goal_;
};

const RegisterTasks<BinPicking, BoxClose> kRegisterBoxes;

}  // namespace
}  // namespace mentor::envs::metaworld
