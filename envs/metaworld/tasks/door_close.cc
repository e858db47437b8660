// door-close-v3: close a door by its handle.
#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {
namespace {

class DoorClose : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "door-close-v3",
      .summary = "Close a door with a revolving joint (Meta-World).",
      .xml = "sawyer_xyz/sawyer_door_pull.xml",
      .hand0 = {-0.5, 0.6f, 0.2f},
      .rand_vec = {.size = 3, .low = {0, 0.85, 0.15}, .high = {0.1, 0.95, 0.15}},
      .goal_low = {0.2, 0.65, 0.1499},
      .goal_high = {0.3, 0.75, 0.1501},
  };

  explicit DoorClose(Names& names)
      : door_(names.Body("door")), handle_(names.Geom("handle")), goal_(names.Site("goal")) {}

  Objects Observe(const World& w) const override { return {w.At(handle_), w.R(handle_)}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = v.Head();
    e.target = e.obj0 + Vec3{0.2, -0.2, 0};
    w.SetBodyPos(door_, e.obj0);
    w.SetSitePos(goal_, e.target);
    w.SetQpos(9, -1.5708);  // Wide open.
    w.ZeroQvel(9, 10);
    w.Forward();
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = Norm(s.o - e.target);
    const double closed = G(dt, 0.05, Norm(e.obj0 - e.target));
    const double place = G(Norm(s.tcp - e.target), 0.0125, Norm(s.hand0 - s.o) + 0.1);
    return {.reward = dt < 0.05 ? 10 : 3 * place + 6 * closed,
            .success = dt <= 0.08,
            .near_object = 0,
            .grasp_success = 1,
            .grasp_reward = 1,
            .in_place_reward = place,
            .obj_to_target = dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 behind = s.o + Vec3{0.05, 0.12, 0.1};
    // Over the door to its outer side, then push.
    if (s.hand[0] > behind[0]) {
      if (s.hand[2] < behind[2] + 0.2) return {{s.hand[0], s.hand[1], behind[2] + 0.25}, 25, 1};
      return {{behind[0] - 0.02, behind[1], s.hand[2]}, 25, 1};
    }
    if (s.HeightTo(behind) > 0.04) return {behind + Vec3{-0.02, 0, 0}, 25, 1};
    return {s.goal, 25, 1};
  }

 private:
  const BodyId door_;
  const GeomId handle_;
  const SiteId goal_;
};

const RegisterTask<DoorClose> kRegisterDoorClose;

}  // namespace
}  // namespace mentor::envs::metaworld
