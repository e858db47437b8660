// Tasks with a door.
#include "envs/metaworld/task.h"
#include "envs/metaworld/tasks/approach.h"

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
    const double closed = G(s.dt, 0.05, Norm(e.obj0 - e.target));
    const double place = G(Norm(s.tcp - e.target), 0.0125, Norm(s.hand0 - s.o) + 0.1);
    return {s.dt < 0.05 ? 10 : 3 * place + 6 * closed, s.dt <= 0.08, 0, 1, 1, place, s.dt};
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

class DoorOpen : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "door-open-v3",
      .summary = "Open a door with a revolving joint (Meta-World).",
      .xml = "sawyer_xyz/sawyer_door_pull.xml",
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
    const double reward = success ? 10 : 2 * H(ready, grasp) + 8 * place;
    return {reward, success, ready, grasp >= 0.5, grasp, place, 0};
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

// What the tasks with a door's bolt share: a door at v, and the site by which the bolt is seen.
class DoorBoltTask : public Task {
 public:
  Objects Observe(const World& w) const override {
    return {w.At(bolt_), w.Orientation(door_link_)};
  }

 protected:
  DoorBoltTask(Names& names, const char* bolt)
      : door_(names.Body("door")),
        door_link_(names.Body("door_link")),
        lock_link_(names.Body("lock_link")),
        bolt_(names.Site(bolt)) {}

  const BodyId door_, door_link_, lock_link_;
  const SiteId bolt_;
};

class DoorLock : public DoorBoltTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "door-lock-v3",
      .summary = "Lock a door by turning its bolt (Meta-World).",
      .xml = "sawyer_xyz/sawyer_door_lock.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .mocap_low = {-0.5, 0.4, -0.15},
      .rand_vec = {.size = 3, .low = {-0.1, 0.8, 0.15}, .high = {0.1, 0.85, 0.15}},
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
    return {2 * H(s.g, near) + 8 * pressed, dt <= 0.02, d <= 0.05, s.g > 0, near, pressed, dt};
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
    return {2 * near + 8 * pressed, dt <= 0.02, d <= 0.05, s.g > 0, near, pressed, dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 lock = s.o + Vec3{-0.04, -0.02, -0.03};
    if (s.LevelTo(lock) <= 0.02) return {lock + Vec3{0.1, 0, 0.01}, 25, 1};
    if (s.hand[2] > 0.15) return {s.hand + Vec3{0, -0.1, -0.1}, 25, 1};
    return {lock, 25, 1};
  }
};

const RegisterTasks<DoorClose, DoorOpen, DoorLock, DoorUnlock> kRegisterDoors;

}  // namespace
}  // namespace mentor::envs::metaworld
