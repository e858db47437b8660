// What reach-v3 and reach-wall-v3 share: the gripper goes to a point, the puck only lies there.
#include "envs/metaworld/tasks/puck.h"

namespace mentor::envs::metaworld {
namespace {

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

// reach-v3: bring the gripper to a point.
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

// reach-wall-v3: bring the gripper to a point behind a wall.
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

const RegisterTasks<Reach, ReachWall> kRegisterReaches;

}  // namespace
}  // namespace mentor::envs::metaworld
