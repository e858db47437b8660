// peg-unplug-side-v3: pull a plug sideways out of its socket.
#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {
namespace {

class PegUnplugSide : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "peg-unplug-side-v3",
      .summary = "Pull a plug sideways out of its socket (Meta-World).",
      .xml = "sawyer_xyz/sawyer_peg_unplug_side.xml",
      .hand0 = {0, 0.6, 0.2},
      .rand_vec = {.size = 3, .low = {-0.25, 0.6, -0.001}, .high = {-0.15, 0.8, 0.001}},
      .goal_low = {-0.25 + 0.194, 0.6, 0.13},
      .goal_high = {-0.15 + 0.194, 0.8, 0.132},
  };

  explicit PegUnplugSide(Names& names)
      : box_(names.Body("box")),
        plug_(names.Body("plug1")),
        end_(names.Site("pegEnd")),
        goal_(names.Site("goal")) {}

  Objects Observe(const World& w) const override { return {w.At(end_), w.Orientation(plug_)}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    w.SetBodyPos(box_, v.Head());
    const Vec3 plug = v.Head() + Vec3{0.044, 0, 0.131};
    w.SetQpos(9, plug);
    w.SetQpos(12, std::array{1.0, 0.0, 0.0, 0.0});
    w.ZeroQvel(9, 12);  // The plug continues to turn as before.
    w.Forward();
    e.obj0 = Observe(w).position;
    e.target = plug + Vec3{0.15, 0, 0};
    w.SetSitePos(goal_, e.target);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = Norm(s.o - e.target);
    const double d = Norm(s.o - s.tcp);
    const double grasp = Cage(s, e, s.o,
                              {.radius = 0.025,
                               .pad_margin = 0.05,
                               .xz_bound = 0.005,
                               .effort = 0.8,
                               .density = CageShape::kHigh});
    const double place = T(dt, 0.05, Norm(e.obj0 - e.target));
    const bool pulled = s.g > 0.5 && s.o[0] - e.obj0[0] > 0.015;
    double reward = pulled && d < 0.035 ? 1 + 2 * grasp + 5 * place : 2 * grasp;
    if (dt <= 0.05) reward = 10;
    return {.reward = reward,
            .success = dt <= 0.07,
            .near_object = d <= 0.03,
            .grasp_success = pulled,
            .grasp_reward = grasp,
            .in_place_reward = place,
            .obj_to_target = dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 plug = s.o + Vec3{-0.02, 0, 0.035};
    const double grip = s.Near(plug, 0.04, 0.15) ? 0.1 : -1;
    if (s.LevelTo(plug) > 0.04) return {Above(plug, 0.2), 25, grip};
    if (std::abs(s.hand[2] - 0.15) > 0.02) return {{plug[0], plug[1], 0.15}, 25, grip};
    return {s.hand + Vec3{0.01, 0, 0}, 25, grip};
  }

 private:
  const BodyId box_, plug_;
  const SiteId end_, goal_;
};

const RegisterTask<PegUnplugSide> kRegisterPegUnplugSide;

}  // namespace
}  // namespace mentor::envs::metaworld
