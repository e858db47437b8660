// hammer-v3: take a hammer and drive a nail into a box.
#include "envs/metaworld/tasks/approach.h"

namespace mentor::envs::metaworld {
namespace {

class Hammer : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "hammer-v3",
      .summary = "Drive a nail into a box with a hammer (Meta-World).",
      .xml = "sawyer_xyz/sawyer_hammer.xml",
      .hand0 = {0, 0.4, 0.2},
      .rand_vec = {.size = 3, .low = {-0.1, 0.4, 0}, .high = {0.1, 0.5, 0}},
      .goal_low = {0.2399, 0.7399, 0.109},
      .goal_high = {0.2401, 0.7401, 0.111},
  };

  explicit Hammer(Names& names)
      : box_(names.Body("box")),
        hammer_(names.Body("hammer")),
        nail_(names.Body("nail_link")),
        nail_slide_(names.Joint("NailSlideJoint")),
        goal_(names.Site("goal")) {}

  Objects Observe(const World& w) const override {
    return {w.At(hammer_), w.Orientation(hammer_), w.At(nail_), w.Orientation(nail_)};
  }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    w.SetBodyPos(box_, {0.24, 0.85, 0});
    e.target = w.At(goal_);
    e.obj0 = v.Head();
    w.PutObject(e.obj0);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Vec3 head = s.o + Vec3{0.16, 0.06, 0};
    const double upright = Aligned(s.q, {1, 0, 0, 0}, 0.4);
    const double grasp =
        Cage(s, e, GripAlongX(s, 0.07), {0.015, 0.02, 0, 0.01, 1, CageShape::kHigh});
    const double place = 0.1 * (head[2] > 0.02) + 0.9 * T(Norm(e.target - head), 0.02, 0.2);
    double reward = (2 * grasp + 6 * place) * upright;
    const bool success = s.world.Position(nail_slide_) > 0.09;
    if (success && reward > 5) reward = 10;
    return {reward, success, upright, grasp >= 0.5, grasp, place, 0};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 handle = s.o + Vec3{-0.04, 0, -0.01};
    const Vec3 nail = Vec3{0.24, 0.71, 0.11} + Vec3{-0.19, 0, 0.05};  // Where the hand hits it.
    const double grip = s.Near(handle, 0.04, 0.1) ? 0.8 : 0;
    if (s.LevelTo(handle) > 0.04) return {Above(handle, 0.1), 10, grip};
    if (s.HeightTo(handle) > 0.05 && handle[2] < 0.03) return {Above(handle, 0.03), 10, grip};
    if (Norm(s.hand[0] - nail[0], s.hand[2] - nail[2]) > 0.02)
      return {{nail[0], s.hand[1], nail[2]}, 10, grip};
    return {nail, 10, grip};
  }

 private:
  const BodyId box_, hammer_, nail_;
  const JointId nail_slide_;
  const SiteId goal_;
};

const RegisterTasks<Hammer> kRegisterHammer;

}  // namespace
}  // namespace mentor::envs::metaworld
