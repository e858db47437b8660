// Tasks in which the puck is pushed.
#include "envs/metaworld/tasks/puck.h"

namespace mentor::envs::metaworld {
namespace {

// push-v3: push a puck along the table to a goal.
class Push : public PuckTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "push-v3",
      .summary = "Push a puck along the table to a goal (Meta-World).",
      .xml = "sawyer_xyz/sawyer_push_v3.xml",
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.6, 0.02, -0.1, 0.8, 0.01},
                   .high = {0.1, 0.7, 0.02, 0.1, 0.9, 0.02},
                   .start_goal_min = 0.15},
  };

  using PuckTask::PuckTask;

  void Reset(const RandVec& v, World& w, Episode& e) const override { SettleOnTable(w, e, v); }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = Norm(s.o - e.target);
    const double d = Norm(s.o - s.tcp);
    const double place = T(dt, 0.05, Norm(e.obj0 - e.target));
    const double grasp = Cage(s, e, s.o, {0.015, 0.05, 0, 0.005, 1, CageShape::kHigh});
    double reward = d < 0.02 && s.g > 0 ? 4 * grasp + 1 + 5 * place : 2 * grasp;
    if (dt < 0.05) reward = 10;
    return {reward, dt <= 0.05, d <= 0.03, Grasped(s, e), grasp, place, dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 puck = s.o + Vec3{-0.005, 0, 0};
    const double grip = s.Near(s.o, 0.02, 0.1) ? 0.6 : 0;
    if (s.LevelTo(puck) > 0.02) return {Above(puck, 0.2), 10, grip};
    if (s.HeightTo(puck) > 0.04) return {Above(puck, 0.03), 10, grip};
    return {s.goal, 10, grip};
  }
};

// push-back-v3: pull a puck along the table back to a goal.
class PushBack : public PuckTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "push-back-v3",
      .summary = "Pull a puck along the table back to a goal (Meta-World).",
      .xml = "sawyer_xyz/sawyer_push_back_v3.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.8, 0.02, -0.1, 0.6, 0.0199},
                   .high = {0.1, 0.85, 0.02, 0.1, 0.7, 0.0201},
                   .start_goal_min = 0.15},
  };

  using PuckTask::PuckTask;

  Objects Observe(const World& w) const override { return {w.At(puck_geom_), w.R(puck_geom_)}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override { SettleOnTable(w, e, v); }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = Norm(s.o - e.target);
    const double d = Norm(s.o - s.tcp);
    const double dt0 = Norm(e.obj0 - e.target);
    const double place = T(dt, 0.05, dt0);
    const double grasp =
        CageSweep(s, e, s.o, {.radius = 0.007, .grip_margin = 0.003, .xz_bound = 0.01});
    double reward = H(grasp, place);
    if (d < 0.01 && s.g > 0 && s.g < 0.55 && dt0 - dt > 0.01) reward += 1 + 5 * place;
    if (dt < 0.05) reward = 10;
    return {reward, dt <= 0.07, d <= 0.03, Grasped(s, e), grasp, place, dt};
  }

  Advice Script(const Sight& s) const override {
    const double grip = s.Near(s.o, 0.04, 0.05) ? 0.9 : 0;
    if (s.LevelTo(s.o) > 0.04) return {Above(s.o, 0.3), 10, grip};
    if (s.HeightTo(s.o) > 0.055) return {s.o, 10, grip};
    return {Above(s.goal, s.hand[2]), 10, grip};
  }
};

// push-wall-v3: push a puck around a wall to a goal.
class PushWall : public PuckTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "push-wall-v3",
      .summary = "Push a puck around a wall to a goal (Meta-World).",
      .xml = "sawyer_xyz/sawyer_push_wall_v3.xml",
      .rand_vec = {.size = 6,
                   .low = {-0.05, 0.6, 0.015, -0.05, 0.85, 0.01},
                   .high = {0.05, 0.65, 0.015, 0.05, 0.9, 0.02},
                   .start_goal_min = 0.15},
  };

  using PuckTask::PuckTask;

  Objects Observe(const World& w) const override { return {w.At(puck_geom_), w.R(puck_geom_)}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override { SettleOnTable(w, e, v); }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Vec3 mid = {-0.05, 0.77, s.o[2]}, k = {3, 1, 1};  // Past the wall's end.
    const double dt = Norm(s.o - e.target);
    const double d = Norm(s.o - s.tcp);
    const double p1 = T(Norm((s.o - mid) * k), 0.05, Norm((e.obj0 - mid) * k));
    const double place = T(dt, 0.05, Norm(e.obj0 - e.target));
    const double grasp = Cage(s, e, s.o, {0.015, 0.05, 0, 0.005, 1, CageShape::kHigh});
    double reward = 2 * grasp;
    if (d < 0.02 && s.g > 0) reward += s.o[1] > 0.75 ? 5 + 3 * place : 1 + 4 * p1;
    if (dt < 0.05) reward = 10;
    return {reward, dt <= 0.07, d <= 0.03, Grasped(s, e), grasp, place, dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 puck = s.o + Vec3{-0.005, 0, 0};
    const double grip = s.Near(s.o, 0.02, 0.1) ? 0.6 : 0;
    if (s.LevelTo(puck) > 0.02) return {Above(puck, 0.2), 10, grip};
    if (s.HeightTo(puck) > 0.04) return {Above(puck, 0.03), 10, grip};
    // Around the wall: aside, then past it.
    const double x = puck[0], y = puck[1];
    if (x >= -0.1 && x <= 0.3 && y >= 0.65 && y <= 0.75) return {s.hand + Vec3{-1, 0, 0}, 10, grip};
    if (((x > -0.15 && x < 0.05) || (x > 0.15 && x < 0.35)) && y >= 0.695 && y <= 0.755) {
      return {s.hand + Vec3{0, 1, 0}, 10, grip};
    }
    return {s.goal, 10, grip};
  }
};

const RegisterTasks<Push, PushBack, PushWall> kRegisterPushes;

}  // namespace
}  // namespace mentor::envs::metaworld
