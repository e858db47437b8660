// lever-pull-v3: pull a lever down by ninety degrees.
#include <numbers>

#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {
namespace {

class LeverPull : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "lever-pull-v3",
      .summary = "Pull a lever down by ninety degrees (Meta-World).",
      .xml = "sawyer_xyz/sawyer_lever_pull.xml",
      .hand0 = {0, 0.4f, 0.2f},
      .mocap_low = {-0.5, 0.4, -0.15},
      .rand_vec = {.size = 3, .low = {-0.1, 0.7, 0}, .high = {0.1, 0.8, 0}},
  };

  explicit LeverPull(Names& names)
      : lever_(names.Body("lever")),
        lever_geom_(names.Geom("objGeom")),
        lever_start_(names.Site("leverStart")),
        goal_(names.Site("goal")),
        axis_(names.Joint("LeverAxis")) {}

  Objects Observe(const World& w) const override { return {w.At(lever_start_), w.R(lever_geom_)}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = v.Head();
    w.SetBodyPos(lever_, e.obj0);
    e.lever0 = e.obj0 + Vec3{0.12, -0.2, 0.25};
    e.target = e.obj0 + Vec3{0.12, 0, 0.45};
    w.SetSitePos(goal_, e.target);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    constexpr double kPi = std::numbers::pi;
    // The shoulder of the hand, which is to meet the lever from below.
    const Vec3 k = {4, 1, 4}, shoulder = {0, 0.055, 0.07};
    const double d = Norm((s.hand + shoulder - s.o) * k);
    const double grasp = T(d, 0.02, Norm((e.tcp0 + shoulder - e.lever0) * k));
    const double error = std::abs(-s.world.Position(axis_) - kPi / 2);
    const double place = T(error, kPi / 48, kPi / 2 - kPi / 12);
    const double lifted = T(Norm(s.o - e.target), 0.04, Norm(e.lever0 - e.target));
    return {10 * H(grasp, lifted), error <= kPi / 24, (d < 0.03), (grasp > 0.9), grasp, place, d};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 lever = s.o + Vec3{0, -0.055, 0};
    if (s.LevelTo(lever) > 0.02) return {Above(lever, -0.1), 25, 1};
    if (s.HeightTo(lever) > 0.02) return {lever, 25, 1};
    return {lever + Vec3{0, 0.08, 0.02}, 25, 1};
  }

 private:
  const BodyId lever_;
  const GeomId lever_geom_;
  const SiteId lever_start_, goal_;
  const JointId axis_;
};

const RegisterTasks<LeverPull> kRegisterLeverPull;

}  // namespace
}  // namespace mentor::envs::metaworld
