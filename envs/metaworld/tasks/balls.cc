// Tasks with a ball and a goal for it.
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
    const bool held = s.d < 0.035 && s.g > 0 && s.o[2] - 0.01 > e.obj0[2];
    const double grasp = held ? 1 : Cage(s, e, s.o, {0.025, 0.06, 0, 0.005, 1, CageShape::kHigh});
    double reward = H(grasp, place) + (held ? 1 + 5 * place : 0);
    if (dt < 0.08) reward = 10;
    const bool lifted = s.g > 0 && s.o[2] - 0.03 > e.obj0[2];
    return {reward, dt <= 0.08, s.d <= 0.05, lifted, grasp, place, dt};
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

class Soccer : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "soccer-v3",
      .summary = "Kick a ball into a goal (Meta-World).",
      .xml = "sawyer_xyz/sawyer_soccer.xml",
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.6, 0.03, -0.1, 0.8, 0},
                   .high = {0.1, 0.7, 0.03, 0.1, 0.9, 0},
                   .start_goal_min = 0.15},
  };

  explicit Soccer(Names& names)
      : ball_(names.Body("soccer_ball")),
        net_(names.Body("goal_whole")),
        ball_geom_(names.Geom("objGeom")),
        goal_(names.Site("goal")) {}

  Objects Observe(const World& w) const override { return {w.At(ball_), w.R(ball_)}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = {v[0], v[1], 0.03};
    e.target = v.Tail();
    w.SetBodyPos(net_, e.target);
    w.PutObject(e.obj0);
    w.SetSitePos(goal_, e.target);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Vec3 k = {3, 1, 1};
    const double ds = Norm((s.o - e.target) * k);
    // The margin moves with the ball.
    double place = T(ds, 0.07, Norm((s.o - e.obj0) * k));
    // Past the goal line, but beside the goal.
    const double line = e.target[1] - 0.1;
    if (s.o[1] > line && std::abs(s.o[0] - e.target[0]) > 0.1) {
      place = Clip(place - 2 * (s.o[1] - line) / (1 - line), 0, 1);
    }
    const double grasp =
        CageSweep(s, e, s.o, {.radius = 0.013, .grip_margin = 0.01, .xz_bound = 0.005});
    const double reward = ds < 0.07 ? 10 : 3 * grasp + 6.5 * place;
    const bool held = Grasped(s, ball_geom_, e.obj0[2]);
    return {reward, s.dt <= 0.07, s.d <= 0.03, held, grasp, place, s.dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 ball = Above(s.o, 0.03);
    // To the side of the ball from which it rolls towards the goal; high while right above it.
    const double off = ball[0] - s.goal[0];
    Vec3 push = ball + (off < -0.05  ? Vec3{-0.03, 0, 0}
                        : off > 0.05 ? Vec3{0.03, 0, 0}
                                     : Vec3{0, -0.03, 0});
    push[2] = s.LevelTo(ball) < 0.02 ? 0.1 : 0.03;
    return {Norm(s.hand - push) > 0.01 ? push : ball, 25, 1};
  }

 private:
  const BodyId ball_, net_;
  const GeomId ball_geom_;
  const SiteId goal_;
};

const RegisterTasks<Basketball, Soccer> kRegisterBalls;

}  // namespace
}  // namespace mentor::envs::metaworld
