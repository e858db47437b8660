// door-unlock-v3: unlock a door by turning its bolt to the side.
#include "envs/metaworld/tasks/door_bolt.h"

namespace mentor::envs::metaworld {
namespace {

class DoorUnlock : public DoorBoltTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "door-unlock-v3",
      .summary = "Unlock a door by turning its bolt (Meta-World).",
      .xml = "sawyer_xyz/sawyer_door_lock.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .mocap_low = {-0.5, 0.4, -0.15},
      .rand_vec = {.size = 3, .low = {-0.1, 0.8, 0.15}, .high = {0.1, 0.85, 0.15}},
      .goal_low = {0, 0.64, 0.21},
      .goal_high = {0.2, 0.7, 0.2111},
  };

  explicit DoorUnlock(Names& names) : DoorBoltTask(names, "lockStartUnlock") {}

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    w.SetBodyPos(door_, v.Head());
    w.SetQpos(9, 1.5708);
    w.ZeroQvel(9, 10);
    w.Forward();
    e.target = w.At(lock_link_) + Vec3{0.1, -0.04, 0};
  }

  // The bolt as it is now, not at the start: as in the reference.
  void Live(const World& w, Episode& e) const override { e.obj0 = w.At(lock_link_); }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Vec3 k = {0.25, 1, 0.5};
    const Vec3 shoulder = {0, 0.055, 0.07};
    const double d = Norm((s.hand + shoulder - s.o) * k);
    const double near = T(d, 0.02, Norm((e.tcp0 + shoulder - e.obj0) * k));
    const double dt = std::abs(e.target[0] - s.o[0]);
    const double pressed = T(dt, 0.005, 0.1);
    return {.reward = 2 * near + 8 * pressed,
            .success = dt <= 0.02,
            .near_object = d <= 0.05,
            .grasp_success = s.g > 0,
            .grasp_reward = near,
            .in_place_reward = pressed,
            .obj_to_target = dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 lock = s.o + Vec3{-0.04, -0.02, -0.03};
    if (s.LevelTo(lock) <= 0.02) return {lock + Vec3{0.1, 0, 0.01}, 25, 1};
    if (s.hand[2] > 0.15) return {s.hand + Vec3{0, -0.1, -0.1}, 25, 1};
    return {lock, 25, 1};
  }
};

const RegisterTask<DoorUnlock> kRegisterDoorUnlock;

}  // namespace
}  // namespace mentor::envs::metaworld
