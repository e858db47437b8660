// Tasks in which the puck is pushed or swept over the table, or only lies there.
#include "envs/metaworld/tasks/puck.h"

namespace mentor::envs::metaworld {
namespace {

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
    const double place = T(s.dt, 0.05, Norm(e.obj0 - e.target));
    const double grasp = Cage(s, e, s.o, {0.015, 0.05, 0, 0.005, 1, CageShape::kHigh});
    double reward = s.d < 0.02 && s.g > 0 ? 4 * grasp + 1 + 5 * place : 2 * grasp;
    if (s.dt < 0.05) reward = 10;
    return {reward, s.dt <= 0.05, s.d <= 0.03, Grasped(s, e), grasp, place, s.dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 puck = s.o + Vec3{-0.005, 0, 0};
    const double grip = s.Near(s.o, 0.02, 0.1) ? 0.6 : 0;
    if (s.LevelTo(puck) > 0.02) return {Above(puck, 0.2), 10, grip};
    if (s.HeightTo(puck) > 0.04) return {Above(puck, 0.03), 10, grip};
    return {s.goal, 10, grip};
  }
};

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
    const double dt0 = Norm(e.obj0 - e.target);
    const double place = T(s.dt, 0.05, dt0);
    const double grasp =
        CageSweep(s, e, s.o, {.radius = 0.007, .grip_margin = 0.003, .xz_bound = 0.01});
    double reward = H(grasp, place);
    if (s.d < 0.01 && s.g > 0 && s.g < 0.55 && dt0 - s.dt > 0.01) reward += 1 + 5 * place;
    if (s.dt < 0.05) reward = 10;
    return {reward, s.dt <= 0.07, s.d <= 0.03, Grasped(s, e), grasp, place, s.dt};
  }

  Advice Script(const Sight& s) const override {
    const double grip = s.Near(s.o, 0.04, 0.05) ? 0.9 : 0;
    if (s.LevelTo(s.o) > 0.04) return {Above(s.o, 0.3), 10, grip};
    if (s.HeightTo(s.o) > 0.055) return {s.o, 10, grip};
    return {Above(s.goal, s.hand[2]), 10, grip};
  }
};

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
    const double p1 = T(Norm((s.o - mid) * k), 0.05, Norm((e.obj0 - mid) * k));
    const double place = T(s.dt, 0.05, Norm(e.obj0 - e.target));
    const double grasp = Cage(s, e, s.o, {0.015, 0.05, 0, 0.005, 1, CageShape::kHigh});
    double reward = 2 * grasp;
    if (s.d < 0.02 && s.g > 0) reward += s.o[1] > 0.75 ? 5 + 3 * place : 1 + 4 * p1;
    if (s.dt < 0.05) reward = 10;
    return {reward, s.dt <= 0.07, s.d <= 0.03, Grasped(s, e), grasp, place, s.dt};
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

// A cube is swept over the table.
class SweepTask : public PuckTask {
 public:
  using PuckTask::PuckTask;

 protected:
  Outcome Swept(const StepView& s, const Episode& e, const Vec3& target,
                const SweepShape& shape) const {
    const double dt = Norm(s.o - target);
    const double place = T(dt, 0.05, Norm(e.obj0 - target));
    const double grasp = CageSweep(s, e, s.o, shape);
    const double reward = dt < 0.05 ? 10 : 2 * grasp + 6 * H(grasp, place);
    const bool held = s.g > 0 && s.world.Touching(puck_geom_);
    return {reward, dt <= 0.05, s.d <= 0.03, held, grasp, place, dt};
  }
};

class Sweep : public SweepTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "sweep-v3",
      .summary = "Sweep a cube off the table (Meta-World).",
      .xml = "sawyer_xyz/sawyer_sweep_v3.xml",
      .rand_vec = {.size = 3, .low = {-0.1, 0.6, 0.02}, .high = {0.1, 0.7, 0.02}},
      .goal_low = {0.49, 0.6, 0},
      .goal_high = {0.51, 0.7, 0.02},
  };

  using SweepTask::SweepTask;

  Objects Observe(const World& w) const override { return {w.At(puck_), w.Orientation(puck_)}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    Settle(w, e, {v[0], v[1], 0.02}, {0.5, v[1], 0.01});
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    return Swept(s, e, e.target, {.radius = 0.02, .grip_margin = 0.01, .xz_bound = 0.005});
  }

  Advice Script(const Sight& s) const override {
    const Vec3 cube = Above(s.o, 0.015);
    const double grip = s.Near(s.o, 0.04, 0.15) && s.o[0] < 0.4 ? 0.7 : -1;
    if (s.hand[0] < 0.2) {
      if (s.LevelTo(cube) > 0.04) return {Above(cube, 0.3), 25, grip};
      if (s.HeightTo(cube) > 0.04) return {cube, 25, grip};
    }
    return {Above(s.goal, 0.1), 25, grip};
  }
};

class SweepInto : public SweepTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "sweep-into-v3",
      .summary = "Sweep a cube into a hole in the table (Meta-World).",
      .xml = "sawyer_xyz/sawyer_table_with_hole.xml",
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.6, 0.02, -0.001, 0.8399, 0.0199},
                   .high = {0.1, 0.7, 0.02, 0.001, 0.8401, 0.0201},
                   .start_goal_min = 0.15,
                   .fixed_goal = {{0, 0.84}}},
  };

  using SweepTask::SweepTask;

  // The hole stays where it is: of v only where the cube starts is used.
  void Reset(const RandVec& v, World& w, Episode& e) const override {
    Settle(w, e, {v[0], v[1], w.At(puck_)[2]}, {0, 0.84, 0.02});
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    return Swept(s, e, {e.target[0], e.target[1], s.o[2]},
                 {.radius = 0.02, .grip_margin = 0.005, .xz_bound = 0.01});
  }

  Advice Script(const Sight& s) const override {
    const Vec3 cube = s.o + Vec3{-0.005, 0, 0.01};
    const double grip = s.Near(s.o, 0.04, 0.15) ? 0.7 : -1;
    if (s.LevelTo(cube) > 0.04) return {Above(cube, 0.3), 25, grip};
    if (s.HeightTo(cube) > 0.04) return {cube, 25, grip};
    return {s.goal, 25, grip};
  }
};

// The gripper goes to a point, the puck only lies there.
class ReachTask : public PuckTask {
 public:
  using PuckTask::PuckTask;

  // Without the values of the info that the two have in different ways.
  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = Norm(s.tcp - e.target);
    const double place = T(dt, 0.05, Norm(s.hand0 - e.target));
    return {10 * place, dt <= 0.05, 0, 0, 0, place, dt};
  }
};

class Reach : public ReachTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "reach-v3",
      .summary = "Bring the gripper to a point in the air (Meta-World).",
      .xml = "sawyer_xyz/sawyer_reach_v3.xml",
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.6, 0.02, -0.1, 0.8, 0.05},
                   .high = {0.1, 0.7, 0.02, 0.1, 0.9, 0.3},
                   .start_goal_min = 0.15},
  };

  using ReachTask::ReachTask;

  Outcome Reward(const StepView& s, Episode& e) const override {
    Outcome outcome = ReachTask::Reward(s, e);
    // The distance itself: as in the reference.
    outcome.near_object = outcome.grasp_reward = outcome.obj_to_target;
    outcome.grasp_success = 1;
    return outcome;
  }

  Advice Script(const Sight& s) const override { return {s.goal, 5}; }
};

class ReachWall : public ReachTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "reach-wall-v3",
      .summary = "Bring the gripper to a point behind a wall (Meta-World).",
      .xml = "sawyer_xyz/sawyer_reach_wall_v3.xml",
      .rand_vec = {.size = 6,
                   .low = {-0.05, 0.6, 0.015, -0.05, 0.85, 0.05},
                   .high = {0.05, 0.65, 0.015, 0.05, 0.9, 0.3},
                   .start_goal_min = 0.15},
  };

  using ReachTask::ReachTask;

  Advice Script(const Sight& s) const override {
    const bool before_wall = s.hand[0] >= -0.1 && s.hand[0] <= 0.3 && s.hand[1] >= 0.6 &&
                             s.hand[1] <= 0.8 && s.hand[2] < 0.25;
    return {before_wall ? Above(s.goal, 1) : s.goal, 5};
  }
};

const RegisterTasks<Push, PushBack, PushWall, Sweep, SweepInto, Reach, ReachWall> kRegisterPushes;

}  // namespace
}  // namespace mentor::envs::metaworld
