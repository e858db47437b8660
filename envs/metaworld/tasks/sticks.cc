// What stick-push-v3 and stick-pull-v3 share: a stick on the table and a container with a handle.
#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {
namespace {

class StickTask : public Task {
 public:
  explicit StickTask(Names& names)
      : stick_(names.Body("stick")),
        container_(names.Body("object")),
        stick_geom_(names.Geom("objGeom")),
        insertion_(names.Site("insertion")),
        goal_(names.Site("goal")) {}

 protected:
  // The container slides on two joints and stands at (0, y) of them.
  void Settle(World& w, Episode& e, const Vec3& stick, const Vec3& target, double y) const {
    e.stick0 = stick;
    e.target = target;
    w.PutObject(stick);
    w.SetQpos(16, std::array{0.0, y});
    w.ZeroQvel(16, 18);
    w.Forward();
    e.obj0 = w.At(container_);
    w.SetSitePos(goal_, target);
  }

  // Takes the stick by `grip_point`, brings it to the container axis by axis, and then goes to
  // `goal`.
  static Advice Carry(const Sight& s, const Vec3& grip_point, const Vec3& container,
                      const Vec3& goal, double gain) {
    const Vec3& p = grip_point;
    const double grip = s.Near(p, 0.02, 0.1) ? 0.7 : -1;
    const auto far = [&](int i) { return std::abs(p[i] - container[i]); };
    if (far(0) <= 0.04) return {goal, gain, grip};
    if (s.LevelTo(p) > 0.02) return {Above(p, 0.1), gain, grip};
    if (s.HeightTo(p) > 0.02) return {p, gain, grip};
    if (far(1) > 0.02) return {{p[0], container[1], p[2]}, gain, grip};
    if (far(2) > 0.02) return {{p[0], container[1], container[2]}, gain, grip};
    return {container, gain, grip};
  }

  const BodyId stick_, container_;
  const GeomId stick_geom_;
  const SiteId insertion_, goal_;
};

// stick-pull-v3: take a stick, put it through the handle of a container and pull.
class StickPull : public StickTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "stick-pull-v3",
      .summary = "Take a stick, put it through the handle of a container and pull (Meta-World).",
      .xml = "sawyer_xyz/sawyer_stick_obj.xml",
      .mocap_low = {-0.5, 0.35, 0.05},
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.55, 0, 0.35, 0.45, 0.0199},
                   .high = {0, 0.65, 0.001, 0.45, 0.55, 0.0201},
                   .start_goal_min = 0.1},
  };

  explicit StickPull(Names& names) : StickTask(names), stick_end_(names.Site("stick_end")) {}

  Objects Observe(const World& w) const override {
    return {w.At(stick_), w.R(stick_), w.At(insertion_), {}};
  }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    Settle(w, e, {v[0], v[1], 0.02}, {v[3], v[4], 0.02}, 0.09);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Vec3 end = s.world.At(stick_end_);
    const Vec3 k = {1, 1, 2}, aside = {0.05, 0, 0};
    const Vec3 box = s.o2 + aside, box0 = e.obj0 + aside;
    const double d = Norm(s.o - s.tcp);
    const double dt = Norm(s.o2 - e.target);
    const double place = T(Norm((s.o - box) * k), 0.05, Norm((e.stick0 - box0) * k));
    const double stick_there = T(Norm(s.o - e.target), 0.05, Norm(e.stick0 - e.target));
    const double box_there = T(Norm(box - e.target), 0.05, Norm(e.obj0 - e.target));
    const bool held = d < 0.02 && s.g > 0 && s.o[2] - 0.01 > e.stick0[2];
    const double grasp = held ? 1 : Cage(s, e, s.o, {0.014, 0.05, 0, 0.01, 1, CageShape::kHigh});
    const bool inserted = end[0] >= s.o2[0] && std::abs(end[1] - s.o2[1]) <= 0.04 &&
                          std::abs(end[2] - s.o2[2]) <= 0.06;
    double reward = H(grasp, place);
    if (held && inserted) {
      reward = dt <= 0.12 ? 10 : 6 + reward + 2 * stick_there + box_there;
    } else if (held) {
      reward = 1 + reward + 5 * place;
    }
    const bool grasped = Grasped(s, stick_geom_, e.obj0[2]);
    return {reward, dt <= 0.12 && inserted, d <= 0.03, grasped, grasp, place, dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 off = {-0.015, 0, 0.03};
    return Carry(s, s.o + off, s.o2 + off, s.goal + Vec3{-0.05, 0, 0}, 25);
  }

 private:
  const SiteId stick_end_;
};

// stick-push-v3: take a stick and push a container with it.
class StickPush : public StickTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "stick-push-v3",
      .summary = "Take a stick and push a container with it (Meta-World).",
      .xml = "sawyer_xyz/sawyer_stick_obj.xml",
      .rand_vec = {.size = 6,
                   .low = {-0.08, 0.58, 0, 0.399, 0.55, 0.1319},
                   .high = {-0.03, 0.62, 0.001, 0.401, 0.6, 0.1321},
                   .start_goal_min = 0.1},
  };

  using StickTask::StickTask;

  Objects Observe(const World& w) const override {
    return {w.At(stick_), w.R(stick_), w.At(insertion_) + Vec3{0, 0.09, 0}, {}};
  }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    Settle(w, e, {v[0], v[1], 0.02}, {v[3], v[4], w.At(insertion_)[2]}, 0);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Vec3 stick = s.o + Vec3{0.015, 0, 0};
    const double d = Norm(stick - s.tcp);
    const double dt = Norm(s.o2 - e.target);
    const double place = T(Norm(stick - e.target), 0.12, Norm(e.stick0 - e.target) - 0.12);
    const double pushed = T(dt, 0.12, Norm(e.obj0 - e.target) - 0.12);
    const bool held = d < 0.02 && s.g > 0 && stick[2] - 0.01 > e.stick0[2];
    const double cage = Cage(s, e, stick, {0.04, 0.05, 0, 0.01, 1, CageShape::kHigh}, e.stick0);
    const bool grasped = Grasped(s, stick_geom_, e.stick0[2], /*lift=*/0.01);
    const double carried = dt <= 0.12 ? 10 : 2 + 5 * place + 3 * pushed;
    const double reward = held ? carried : cage;
    return {reward, grasped && dt <= 0.12, d <= 0.03, grasped, held ? 1 : cage, place, dt};
  }

  Advice Script(const Sight& s) const override {
    return Carry(s, s.o + Vec3{0.015, 0, 0.03}, s.o2, Above(s.goal, 0.132), 10);
  }
};

const RegisterTasks<StickPull, StickPush> kRegisterSticks;

}  // namespace
}  // namespace mentor::envs::metaworld
