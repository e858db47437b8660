// basketball-v3: put a ball into a basket.
#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {
namespace {

class Basketball : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "basketball-v3",
      .summary = "Put a ball into a basket (Meta-World).",
      .xml = "sawyer_xyz/sawyer_basketball.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.6, 0.0299, -0.1, 0.85, 0},
                   .high = {0.1, 0.7, 0.0301, 0.1, 0.9000001, 0},
                   .start_goal_min = 0.15},
      .goal_low = {-0.1, 0.767, 0.2499},
      .goal_high = {0.1, 0.8170001, 0.2501},
  };

  explicit Basketball(Names& names)
      : ball_(names.Body("bsktball")),
        basket_(names.Body("basket_goal")),
        goal_(names.Site("goal")) {}

  Objects Observe(const World& w) const override { return {w.At(ball_), w.Orientation(ball_)}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = {v[0], v[1], 0.03f};
    w.SetBodyPos(basket_, v.Tail());
    w.PutObject(e.obj0);
    w.SetSitePos(goal_, w.At(goal_));
  }

  // The hoop. The reset means to set its site, but MuJoCo takes a site that was loaded at its
  // body's origin to be there.
  void Live(const World& w, Episode& e) const override { e.target = w.At(goal_); }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Vec3 k = {1, 1, 2};
    const Vec3 over = {e.target[0], e.target[1], 0.3};
    const double dt = Norm((s.o - over) * k);
    const double place = T(dt, 0.08, Norm((e.obj0 - over) * k));
    const double d = Norm(s.o - s.tcp);
    const bool held = d < 0.035 && s.g > 0 && s.o[2] - 0.01 > e.obj0[2];
    const double grasp = held ? 1 : Cage(s, e, s.o, {0.025, 0.06, 0, 0.005, 1, CageShape::kHigh});
    double reward = H(grasp, place) + (held ? 1 + 5 * place : 0);
    if (dt < 0.08) reward = 10;
    return {reward, dt <= 0.08, d <= 0.05, s.g > 0 && s.o[2] - 0.03 > e.obj0[2], grasp, place, dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 ball = Above(s.o, 0.01);
    const Vec3 hoop = {s.goal[0], 0.875, 0.35};
    const double grip = s.Near(s.o, 0.04, 0.15) ? 0.6 : -1;
    if (s.LevelTo(ball) > 0.04) return {Above(ball, 0.3), 25, grip};
    if (s.HeightTo(ball) > 0.025) return {ball, 25, grip};
    if (std::abs(ball[2] - hoop[2]) > 0.025) return {{s.hand[0], s.hand[1], hoop[2]}, 25, grip};
    return {hoop, 25, grip};
  }

 private:
  const BodyId ball_, basket_;
  const SiteId goal_;
};

const RegisterTasks<Basketball> kRegisterBasketball;

}  // namespace
}  // namespace mentor::envs::metaworld
