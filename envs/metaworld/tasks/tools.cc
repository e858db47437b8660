// Tasks with a stick or a hammer in the hand.
#include "envs/metaworld/tasks/approach.h"

namespace mentor::envs::metaworld {
namespace {

// A stick on the table and a container with a handle.
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
    const double dt = Norm(s.o2 - e.target);
    const double place = T(Norm((s.o - box) * k), 0.05, Norm((e.stick0 - box0) * k));
    const double stick_there = T(Norm(s.o - e.target), 0.05, Norm(e.stick0 - e.target));
    const double box_there = T(Norm(box - e.target), 0.05, Norm(e.obj0 - e.target));
    const bool held = s.d < 0.02 && s.g > 0 && s.o[2] - 0.01 > e.stick0[2];
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
    return {reward, dt <= 0.12 && inserted, s.d <= 0.03, grasped, grasp, place, dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 off = {-0.015, 0, 0.03};
    return Carry(s, s.o + off, s.o2 + off, s.goal + Vec3{-0.05, 0, 0}, 25);
  }

 private:
  const SiteId stick_end_;
};

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

class Hammer : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "hammer-v3",
      .summary = "Drive a nail into a box with a hammer (Meta-World).",
      .xml = "sawyer_xyz/sawyer_hammer.xml",
      .hand0 = {0, 0.4, 0.2},
      .rand_vec = {.size = 3, .low = {-0.1, 0.4, 0}, .high = {0.1, 0.5, 0}},
      .goal_low = {0.2399, 0.7399, 0.109},
      .goal_high = {0.2401, 0.7401, 0.111},
  };

  explicit Hammer(Names& names)
      : box_(names.Body("box")),
        hammer_(names.Body("hammer")),
        nail_(names.Body("nail_link")),
        nail_slide_(names.Joint("NailSlideJoint")),
        goal_(names.Site("goal")) {}

  Objects Observe(const World& w) const override {
    return {w.At(hammer_), w.Orientation(hammer_), w.At(nail_), w.Orientation(nail_)};
  }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    w.SetBodyPos(box_, {0.24, 0.85, 0});
    e.target = w.At(goal_);
    e.obj0 = v.Head();
    w.PutObject(e.obj0);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Vec3 head = s.o + Vec3{0.16, 0.06, 0};
    const double upright = Aligned(s.q, {1, 0, 0, 0}, 0.4);
    const double grasp =
        Cage(s, e, GripAlongX(s, 0.07), {0.015, 0.02, 0, 0.01, 1, CageShape::kHigh});
    const double place = 0.1 * (head[2] > 0.02) + 0.9 * T(Norm(e.target - head), 0.02, 0.2);
    double reward = (2 * grasp + 6 * place) * upright;
    const bool success = s.world.Position(nail_slide_) > 0.09;
    if (success && reward > 5) reward = 10;
    return {reward, success, upright, grasp >= 0.5, grasp, place, 0};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 handle = s.o + Vec3{-0.04, 0, -0.01};
    const Vec3 nail = Vec3{0.24, 0.71, 0.11} + Vec3{-0.19, 0, 0.05};  // Where the hand hits it.
    const double grip = s.Near(handle, 0.04, 0.1) ? 0.8 : 0;
    if (s.LevelTo(handle) > 0.04) return {Above(handle, 0.1), 10, grip};
    if (s.HeightTo(handle) > 0.05 && handle[2] < 0.03) return {Above(handle, 0.03), 10, grip};
    if (Norm(s.hand[0] - nail[0], s.hand[2] - nail[2]) > 0.02)
      return {{nail[0], s.hand[1], nail[2]}, 10, grip};
    return {nail, 10, grip};
  }

 private:
  const BodyId box_, hammer_, nail_;
  const JointId nail_slide_;
  const SiteId goal_;
};

const RegisterTasks<StickPull, StickPush, Hammer> kRegisterTools;

}  // namespace
}  // namespace mentor::envs::metaworld
