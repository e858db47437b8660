// reach-v3: bring the gripper to a point.
#include "envs/metaworld/tasks/reach.h"

namespace mentor::envs::metaworld {
namespace {

class Reach : public ReachTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "reach-v3",
      .summary = "Bring the gripper to a point in the air (Meta-World).",
      .xml = "sawyer_xyz/sawyer_reach_v3.xml",
      .hand0 = {0, 0.6, 0.2},
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.6, 0.02, -0.1, 0.8, 0.05},
                   .high = {0.1, 0.7, 0.02, 0.1, 0.9, 0.3},
                   .start_goal_min = 0.15},
      .goal_low = {-0.1, 0.8, 0.05},
      .goal_high = {0.1, 0.9, 0.3},
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

const RegisterTask<Reach> kRegisterReach;

}  // namespace
}  // namespace mentor::envs::metaworld
