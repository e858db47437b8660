// What the tasks with a handle share: a box with a handle that turns, to be pressed or pulled.
#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {
namespace {

class HandleTask : public Task {
 public:
  Objects Observe(const World& w) const override {
    return {w.At(handle_), {}};  // The orientation is not shown.
  }

 protected:
  HandleTask(Names& names, const char* handle, const char* goal)
      : box_(names.Body("box")), handle_(names.Site(handle)), goal_(names.Site(goal)) {}

  // The box at v, the handle turned to `angle`.
  void Settle(const RandVec& v, World& w, Episode& e, double angle) const {
    w.SetBodyPos(box_, v.Head());
    w.SetQpos(9, angle);
    w.ZeroQvel(9, 10);
    w.Forward();
    e.target = w.At(goal_);
  }

 private:
  const BodyId box_;
  const SiteId handle_, goal_;
};

// handle-pull-v3: pull a handle up.
class HandlePull : public HandleTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "handle-pull-v3",
      .summary = "Pull a handle up (Meta-World).",
      .xml = "sawyer_xyz/sawyer_handle_press.xml",
      .rand_vec = {.size = 3, .low = {-0.1, 0.8, -0.001}, .high = {0.1, 0.9, 0.001}},
      .goal_low = {-0.1, 0.55, 0.04},
      .goal_high = {0.1, 0.7, 0.18},
  };

  explicit HandlePull(Names& names) : HandleTask(names, "handleRight", "goalPull") {}

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = v.Head();
    Settle(v, w, e, -0.1);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = std::abs(e.target[2] - s.o[2]);
    const double place = T(dt, 0.05, std::abs(e.target[2] - e.obj0[2]));
    const double d = Norm(s.o - s.tcp);
    const double grasp = Cage(s, e, s.o, {0.022, 0.05, 0, 0.01, 1, CageShape::kHigh});
    double reward = H(grasp, place);
    // The reference compares y with z here, which nearly always holds.
    if (d < 0.035 && s.g > 0 && s.o[1] - 0.01 > e.obj0[2]) reward += 1 + 5 * place;
    if (dt < 0.05) reward = 10;
    return {reward, dt <= 0.05, d <= 0.05, s.g > 0 && s.o[2] - 0.03 > e.obj0[2], grasp, place, dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 handle = s.o + Vec3{0, -0.04, 0};
    if (s.LevelTo(handle) > 0.02) return {handle, 25, 1};
    // The reference gives a height where a point is meant, and it gets to all three axes. The
    // straight way solves fewer goals.
    if (s.HeightTo(handle) > 0.02) return {{handle[2], handle[2], handle[2]}, 25, 1};
    return {Above(handle, 0.1), 25, 1};
  }
};

// handle-pull-side-v3: pull a handle up from the side.
class HandlePullSide : public HandleTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "handle-pull-side-v3",
      .summary = "Pull a handle up from the side (Meta-World).",
      .xml = "sawyer_xyz/sawyer_handle_press_sideways.xml",
      .rand_vec = {.size = 3, .low = {-0.35, 0.65, 0}, .high = {-0.25, 0.75, 0}},
  };

  explicit HandlePullSide(Names& names) : HandleTask(names, "handleCenter", "goalPull") {}

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    Settle(v, w, e, -0.1);
    e.obj0 = Observe(w).position;
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = Norm(s.o - e.target);
    const double place = T(dt, 0.05, Norm(e.obj0 - e.target));
    const double d = Norm(s.o - s.tcp);
    const double grasp = Cage(s, e, s.o, {0.032, 0.06, 0, 0.01, 1, CageShape::kHigh});
    double reward = H(grasp, place);
    if (d < 0.035 && s.g > 0 && s.o[2] - 0.01 > e.obj0[2]) reward += 1 + 5 * place;
    if (dt < 0.05) reward = 10;
    return {reward, dt <= 0.08, d <= 0.05, s.g > 0 && s.o[2] - 0.03 > e.obj0[2], grasp, place, dt};
  }

  Advice Script(const Sight& s) const override {
    const double grip = s.Near(s.o, 0.04, 0.04) ? 0.6 : 0;
    if (s.LevelTo(s.o) > 0.04) return {Above(s.o, 0.1), 25, grip};
    if (s.HeightTo(s.o) > 0.03) return {s.o, 25, grip};
    return {Above(s.o, 1), 25, grip};
  }
};

// What handle-press and handle-press-side share: a handle that is pressed down.
class HandlePressTask : public HandleTask {
 public:
  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = v.Head();
    Settle(v, w, e, -0.001);
    e.handle0 = Observe(w).position;
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = std::abs(s.o[2] - e.target[2]);
    const double place = T(dt, 0.02, std::abs(std::abs(e.handle0[2] - e.target[2]) - 0.02));
    const double d = Norm(s.o - s.tcp);
    const double grasp = T(d, 0.02, std::abs(Norm(e.handle0 - e.tcp0) - 0.02));
    const bool success = dt <= 0.02;
    return {10 * (success ? 1 : H(grasp, place)), success, d <= 0.05, 1, grasp, place, dt};
  }

 protected:
  explicit HandlePressTask(Names& names) : HandleTask(names, "handleStart", "goalPress") {}

  // Over the point, then down with full speed.
  static Advice PressDown(const Sight& s, const Vec3& point, double grip) {
    const bool over = s.LevelTo(point) <= 0.02;
    return {.to = point + Vec3{0, 0, over ? -0.5 : 0.2}, .gain = 25, .grip = grip};
  }
};

// handle-press-v3: press a handle down.
class HandlePress : public HandlePressTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "handle-press-v3",
      .summary = "Press a handle down (Meta-World).",
      .xml = "sawyer_xyz/sawyer_handle_press.xml",
      .rand_vec = {.size = 3, .low = {-0.1, 0.8, -0.001}, .high = {0.1, 0.9, 0.001}},
      .goal_low = {-0.1, 0.55, 0.04},
      .goal_high = {0.1, 0.7, 0.08},
  };

  explicit HandlePress(Names& names) : HandlePressTask(names) {}

  Advice Script(const Sight& s) const override {
    return PressDown(s, s.o + Vec3{0, -0.02, 0}, /*grip=*/-1);
  }
};

// handle-press-side-v3: press a handle down that is turned sideways.
class HandlePressSide : public HandlePressTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "handle-press-side-v3",
      .summary = "Press a handle down that points sideways (Meta-World).",
      .xml = "sawyer_xyz/sawyer_handle_press_sideways.xml",
      .rand_vec = {.size = 3, .low = {-0.35, 0.65, -0.001}, .high = {-0.25, 0.75, 0.001}},
  };

  explicit HandlePressSide(Names& names) : HandlePressTask(names) {}

  Advice Script(const Sight& s) const override { return PressDown(s, s.o, /*grip=*/1); }
};

const RegisterTasks<HandlePull, HandlePullSide, HandlePress, HandlePressSide> kRegisterHandles;

}  // namespace
}  // namespace mentor::envs::metaworld
