// reach-wall-v3: bring the gripper to a point behind a wall.
#include "envs/metaworld/tasks/reach.h"

namespace mentor::envs::metaworld {
namespace {

class ReachWall : public ReachTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "reach-wall-v3",
      .summary = "Bring the gripper to a point behind a wall (Meta-World).",
      .xml = "sawyer_xyz/sawyer_reach_wall_v3.xml",
      .hand0 = {0, 0.6, 0.2},
      .rand_vec = {.size = 6,
                   .low = {-0.05, 0.6, 0.015, -0.05, 0.85, 0.05},
                   .high = {0.05, 0.65, 0.015, 0.05, 0.9, 0.3},
                   .start_goal_min = 0.15},
      .goal_low = {-0.05, 0.85, 0.05},
      .goal_high = {0.05, 0.9, 0.3},
  };

  using ReachTask::ReachTask;

  Advice Script(const Sight& s) const override {
    const bool before_wall = s.hand[0] >= -0.1 && s.hand[0] <= 0.3 && s.hand[1] >= 0.6 &&
                             s.hand[1] <= 0.8 && s.hand[2] < 0.25;
    return {before_wall ? Above(s.goal, 1) : s.goal, 5};
  }
};

const RegisterTask<ReachWall> kRegisterReachWall;

}  // namespace
}  // namespace mentor::envs::metaworld
