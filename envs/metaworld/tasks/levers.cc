// Tasks with a lever or a dial.
#include <numbers>

#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {
namespace {

class DialTurn : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "dial-turn-v3",
      .summary = "Turn a dial by 180 degrees (Meta-World).",
      .xml = "sawyer_xyz/sawyer_dial.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 3, .low = {-0.1, 0.7, 0}, .high = {0.1, 0.8, 0}},
      .goal_low = {-0.1, 0.73, 0.0299},
      .goal_high = {0.1, 0.83, 0.0301},
  };

  explicit DialTurn(Names& names)
      : dial_(names.Body("dial")), knob_(names.Joint("knob_Joint_1")), goal_(names.Site("goal")) {}

  Objects Observe(const World& w) const override {
    const double angle = w.Position(knob_);
    const Vec3 radius = {0.05 * std::sin(angle), 0.05 * -std::cos(angle), 0};
    return {w.At(dial_) + radius, w.Orientation(dial_)};
  }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = v.Head();
    e.target = e.obj0 + Vec3{0, 0.03, 0.03};
    w.SetBodyPos(dial_, e.obj0);
    e.push0 = Observe(w).position + kPush;
    w.SetSitePos(goal_, e.target);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Vec3 push = s.o + kPush;
    const double place = T(s.dt, 0.07, std::abs(Norm(e.push0 - e.target) - 0.07));
    const double d = Norm(push - s.tcp);
    const double near = G(d, 0.005, std::abs(Norm(e.push0 - e.tcp0) - 0.005));
    const double grasp = H(near, Clip(s.a[3], 0, 1));
    return {10 * H(grasp, place), s.dt <= 0.07, d <= 0.01, 1, grasp, place, s.dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 push = s.o + kPush;
    if (s.LevelTo(push) > 0.02) return {{push[0], push[1], 0.2}, 10, 1};
    if (s.HeightTo(push) > 0.02) return {push, 10, 1};
    return {push + Vec3{-0.05, 0.005, 0}, 10, 1};
  }

 private:
  static constexpr Vec3 kPush = {0.05, 0.02, 0.09};  // From the knob to where the hand pushes.

  const BodyId dial_;
  const JointId knob_;
  const SiteId goal_;
};

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

const RegisterTasks<DialTurn, LeverPull> kRegisterLevers;

}  // namespace
}  // namespace mentor::envs::metaworld
