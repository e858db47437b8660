// door-lock-v3: lock a door by turning its bolt downwards.
#include "envs/metaworld/tasks/door_bolt.h"

namespace mentor::envs::metaworld {
namespace {

class DoorLock : public DoorBoltTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "door-lock-v3",
      .summary = "Lock a door by turning its bolt (Meta-World).",
      .xml = "sawyer_xyz/sawyer_door_lock.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .mocap_low = {-0.5, 0.4, -0.15},
      .rand_vec = {.size = 3, .low = {-0.1, 0.8, 0.15}, .high = {0.1, 0.85, 0.15}},
      .goal_low = {-0.5, 0.4, -0.15},
      .goal_high = {0.5, 1, 0.5},
  };

  explicit DoorLock(Names& names) : DoorBoltTask(names, "lockStartLock") {}

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    w.SetBodyPos(door_, v.Head());
    w.Steps(5);
    e.target = w.At(lock_link_) + Vec3{0, -0.04, -0.1};
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double d = Norm((s.o - s.world.LeftPad()) * Vec3{0.25, 1, 0.5});
    const double dt = std::abs(e.target[2] - s.o[2]);
    // The margin is the distance now, not at the start: as in the reference.
    const double near = T(d, 0.01, d);
    const double pressed = T(dt, 0.005, 0.1);
    return {.reward = 2 * H(s.g, near) + 8 * pressed,
            .success = dt <= 0.02,
            .near_object = d <= 0.05,
            .grasp_success = s.g > 0,
            .grasp_reward = near,
            .in_place_reward = pressed,
            .obj_to_target = dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 lock = s.o + Vec3{-0.02, -0.02, 0};
    if (s.LevelTo(lock) > 0.02) {
      if (s.hand[2] < 0.25) return {s.hand + Vec3{0, -0.1, 0.1}, 25, -1};
      return {Above(lock, 0.3), 25, -1};
    }
    if (s.HeightTo(lock) > 0.02) return {lock, 25, -1};
    return {lock + Vec3{-0.1, 0, -0.1}, 25, -1};
  }
};

const RegisterTask<DoorLock> kRegisterDoorLock;

}  // namespace
}  // namespace mentor::envs::metaworld
