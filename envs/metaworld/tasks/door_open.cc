// door-open-v3: open a door by its handle.
#include "envs/metaworld/tasks/approach.h"

namespace mentor::envs::metaworld {
namespace {

class DoorOpen : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "door-open-v3",
      .summary = "Open a door with a revolving joint (Meta-World).",
      .xml = "sawyer_xyz/sawyer_door_pull.xml",
      .hand0 = {0, 0.6, 0.2},
      .rand_vec = {.size = 3, .low = {0, 0.85, 0.15}, .high = {0.1, 0.95, 0.15}},
      .goal_low = {-0.3, 0.4, 0.1499},
      .goal_high = {-0.2, 0.5, 0.1501},
  };

  explicit DoorOpen(Names& names)
      : door_(names.Body("door")),
        handle_(names.Geom("handle")),
        hinge_(names.Joint("doorjoint")),
        goal_(names.Site("goal")) {}

  Objects Observe(const World& w) const override { return {w.At(handle_), w.R(handle_)}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = v.Head();
    e.target = e.obj0 + Vec3{-0.3, -0.45, 0};
    w.SetBodyPos(door_, e.obj0);
    w.SetSitePos(goal_, e.target);
    w.SetQpos(9, 0.0);
    w.ZeroQvel(9, 10);
    w.Forward();
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    constexpr double kPi = 3.141592653589793;
    const double angle = s.world.Position(hinge_);
    const double grasp = (Clip(s.a[3], -1, 1) + 1) / 2;
    // The hand comes from above and hooks behind the handle.
    const Vec3 door = s.o + Vec3{-0.05, 0, 0};
    const double floor = Funnel(Norm(s.hand[0] - door[0], s.hand[1] - door[1]), 0.12, 0.04, 0.4);
    const double above = HandAbove(s, floor, /*margin=*/floor / 2);
    const double ready = H(above, T(Norm(s.hand - door - Vec3{0.05, 0.03, -0.01}), 0.06, 0.5));
    const double place = 0.2 * (angle < -kPi / 90) + 0.8 * T(2 * kPi / 3 + angle, 0.5, kPi / 3);
    const bool success = std::abs(s.o[0] - e.target[0]) <= 0.08;
    return {.reward = success ? 10 : 2 * H(ready, grasp) + 8 * place,
            .success = success,
            .near_object = ready,
            .grasp_success = grasp >= 0.5,
            .grasp_reward = grasp,
            .in_place_reward = place,
            .obj_to_target = 0};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 door = s.o + Vec3{-0.05, 0, 0};
    if (s.LevelTo(door) > 0.12) return {door + Vec3{0.06, 0.02, 0.2}, 25, 1};
    if (s.HeightTo(door) > 0.04) return {door + Vec3{0.06, 0.02, 0}, 25, 1};
    return {door, 25, 1};
  }

 private:
  const BodyId door_;
  const GeomId handle_;
  const JointId hinge_;
  const SiteId goal_;
};

const RegisterTask<DoorOpen> kRegisterDoorOpen;

}  // namespace
}  // namespace mentor::envs::metaworld
