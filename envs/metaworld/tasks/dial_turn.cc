// dial-turn-v3: turn a dial by its knob.
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
    const double dt = Norm(s.o - e.target);
    const double place = T(dt, 0.07, std::abs(Norm(e.push0 - e.target) - 0.07));
    const double d = Norm(push - s.tcp);
    const double near = G(d, 0.005, std::abs(Norm(e.push0 - e.tcp0) - 0.005));
    const double grasp = H(near, Clip(s.a[3], 0, 1));
    return {10 * H(grasp, place), dt <= 0.07, d <= 0.01, 1, grasp, place, dt};
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

const RegisterTasks<DialTurn> kRegisterDialTurn;

}  // namespace
}  // namespace mentor::envs::metaworld
