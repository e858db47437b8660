// soccer-v3: kick a ball into a goal.
#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {
namespace {

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
    const double d = Norm(s.o - s.tcp);
    const double ds = Norm((s.o - e.target) * k);
    const double dt = Norm(s.o - e.target);
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
    return {reward, dt <= 0.07, d <= 0.03, Grasped(s, ball_geom_, e.obj0[2]), grasp, place, dt};
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

const RegisterTasks<Soccer> kRegisterSoccer;

}  // namespace
}  // namespace mentor::envs::metaworld
