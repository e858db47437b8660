// What tasks with a button share: a box with a button that is pressed along an axis of the world,
// and the measures of a press.
#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {
namespace {

// How far a press has come, along `axis`.
struct Press {
  double dt;  // From the button to where it is pressed in.
  double near, pressed;

  Press(const StepView& s, const Episode& e, int axis, double near_bound)
      : dt(std::abs(e.target[axis] - s.o[axis])),
        near(T(s.d, near_bound, Norm(s.o - e.tcp0))),
        pressed(T(dt, 0.005, e.press0)) {}

  Outcome Result(const StepView& s, double reward, bool success) const {
    return {reward, success, s.d <= 0.05, s.g > 0, near, pressed, dt};
  }
};

class ButtonTask : public Task {
 public:
  Objects Observe(const World& w) const override {
    return {w.At(button_) + face_, w.Orientation(button_)};
  }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = v.Head();
    w.SetBodyPos(box_, e.obj0);
    w.Forward();
    e.target = w.At(hole_);
    e.press0 = std::abs(e.target[axis_] - w.At(button_start_)[axis_]);
  }

 protected:
  // face: from the button's body to the face that is pressed.
  ButtonTask(Names& names, int axis, const Vec3& face)
      : axis_(axis),
        face_(face),
        box_(names.Body("box")),
        button_(names.Body("button")),
        hole_(names.Site("hole")),
        button_start_(names.Site("buttonStart")) {}

 private:
  const int axis_;
  const Vec3 face_;
  const BodyId box_, button_;
  const SiteId hole_, button_start_;
};

class ButtonPress : public ButtonTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "button-press-v3",
      .summary = "Press a button that faces the robot (Meta-World).",
      .xml = "sawyer_xyz/sawyer_button_press.xml",
      .hand0 = {0, 0.4f, 0.2f},
      .rand_vec = {.size = 3, .low = {-0.1, 0.85, 0.115}, .high = {0.1, 0.9, 0.115}},
  };

  explicit ButtonPress(Names& names) : ButtonTask(names, /*axis=*/1, /*face=*/{0, -0.193, 0}) {}

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    w.SetQpos(9, 0.0);
    w.ZeroQvel(9, 10);
    ButtonTask::Reset(v, w, e);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Press p(s, e, /*axis=*/1, /*near_bound=*/0.05);
    return p.Result(s, 2 * H(s.g, p.near) + (s.d <= 0.05 ? 8 * p.pressed : 0), p.dt <= 0.02);
  }

  Advice Script(const Sight& s) const override {
    const Vec3 button = Above(s.o, -0.07);
    const bool aligned = std::abs(s.hand[0] - button[0]) <= 0.02 && s.HeightTo(button) <= 0.02;
    // Step back until aligned, then press.
    const double y = aligned ? button[1] + 0.02 : s.hand[1] - 0.1;
    return {.to = {button[0], y, button[2]}, .gain = 25, .grip = 0};
  }
};

class ButtonPressTopdown : public ButtonTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "button-press-topdown-v3",
      .summary = "Press a button from above (Meta-World).",
      .xml = "sawyer_xyz/sawyer_button_press_topdown.xml",
      .hand0 = {0, 0.4f, 0.2f},
      .rand_vec = {.size = 3, .low = {-0.1, 0.8, 0.115}, .high = {0.1, 0.9, 0.115}},
  };

  explicit ButtonPressTopdown(Names& names)
      : ButtonTask(names, /*axis=*/2, /*face=*/{0, 0, 0.193}) {}

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Press p(s, e, /*axis=*/2, /*near_bound=*/0.01);
    // Closed fingers are worth more; behind the wall of the sister task, open ones.
    return p.Result(s, 5 * H(1 - s.g, p.near) + (s.d <= 0.03 ? 5 * p.pressed : 0), p.dt <= 0.024);
  }

  Advice Script(const Sight& s) const override {
    const Vec3 above = Above(s.o, 0.1);
    return {.to = s.LevelTo(s.o) > 0.04 ? above : s.o, .gain = 25, .grip = 1};
  }
};

class ButtonPressTopdownWall : public ButtonTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "button-press-topdown-wall-v3",
      .summary = "Press a button behind a wall from above (Meta-World).",
      .xml = "sawyer_xyz/sawyer_button_press_topdown_wall.xml",
      .hand0 = {0, 0.4f, 0.2f},
      .rand_vec = {.size = 3, .low = {-0.1, 0.8, 0.115}, .high = {0.1, 0.9, 0.115}},
  };

  explicit ButtonPressTopdownWall(Names& names)
      : ButtonTask(names, /*axis=*/2, /*face=*/{0, 0, 0.193}) {}

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Press p(s, e, /*axis=*/2, /*near_bound=*/0.01);
    return p.Result(s, 5 * H(s.g, p.near) + (s.d <= 0.03 ? 5 * p.pressed : 0), p.dt <= 0.024);
  }

  Advice Script(const Sight& s) const override {
    const Vec3 button = s.o + Vec3{0, -0.06, 0};
    const Vec3 above = Above(button, 0.1);
    return {.to = s.LevelTo(button) > 0.04 ? above : button, .gain = 25, .grip = -1};
  }
};

class ButtonPressWall : public ButtonTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "button-press-wall-v3",
      .summary = "Press a button that faces the robot behind a wall (Meta-World).",
      .xml = "sawyer_xyz/sawyer_button_press_wall.xml",
      .hand0 = {0, 0.4f, 0.2f},
      .rand_vec = {.size = 3, .low = {-0.05, 0.85, 0.1149}, .high = {0.05, 0.9, 0.1151}},
  };

  explicit ButtonPressWall(Names& names) : ButtonTask(names, /*axis=*/1, /*face=*/{0, -0.193, 0}) {}

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    w.SetQpos(9, 0.0);
    w.ZeroQvel(9, 10);
    ButtonTask::Reset(v, w, e);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Press p(s, e, /*axis=*/1, /*near_bound=*/0.01);
    const double reward =
        s.d > 0.07 ? 2 * H((1 - s.g) / 2, p.near) : 2 + 2 * (1 + s.g) + 4 * (p.pressed * p.pressed);
    return p.Result(s, reward, p.dt <= 0.03);
  }

  Advice Script(const Sight& s) const override {
    const Vec3 button = Above(s.o, 0.04);
    // Over the wall with closed fingers, down on the other side, then press with open ones.
    if (std::abs(s.hand[0] - button[0]) > 0.02)
      return {.to = {button[0], s.hand[1], 0.3}, .gain = 15, .grip = 1};
    if (button[1] - s.hand[1] > 0.09)
      return {.to = {button[0], button[1], 0.3}, .gain = 15, .grip = 1};
    if (s.HeightTo(button) > 0.02) return {.to = button + Vec3{0, -0.05, 0}, .gain = 15, .grip = 1};
    return {.to = button + Vec3{0, -0.02, 0}, .gain = 15, .grip = -1};
  }
};

class CoffeeButton : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "coffee-button-v3",
      .summary = "Press the button of a coffee machine (Meta-World).",
      .xml = "sawyer_xyz/sawyer_coffee.xml",
      .hand0 = {0, 0.4, 0.2},
      .rand_vec = {.size = 3, .low = {-0.1, 0.8, -0.001}, .high = {0.1, 0.9, 0.001}},
      .goal_low = {-0.101, 0.6100000000000001, 0.298},
      .goal_high = {0.101, 0.71, 0.302},
  };

  explicit CoffeeButton(Names& names)
      : machine_(names.Body("coffee_machine")), button_(names.Site("buttonStart")) {}

  Objects Observe(const World& w) const override { return {w.At(button_), {1, 0, 0, 0}}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = v.Head();
    w.SetBodyPos(machine_, e.obj0);
    w.SetQpos(0, e.obj0 + Vec3{0, -0.22, 0});  // The mug.
    w.ZeroQvel(9, 15);                         // Speeds of the arm: the mug's are the first six.
    w.Forward();
    e.target = e.obj0 + Vec3{0, -0.22, 0.3} + Vec3{0, 0.03, 0};
    e.press0 = 0.03;
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Press p(s, e, /*axis=*/1, /*near_bound=*/0.05);
    return p.Result(s, 2 * H(s.g, p.near) + (s.d <= 0.05 ? 8 * p.pressed : 0), p.dt <= 0.02);
  }

  Advice Script(const Sight& s) const override {
    const Vec3 button = Above(s.o, -0.07);
    const bool aligned = Norm(s.hand[0] - button[0], s.hand[2] - button[2]) <= 0.02;
    const double y = aligned ? button[1] + 0.2 : s.hand[1];
    return {.to = {button[0], y, button[2]}, .gain = 10, .grip = -1};
  }

 private:
  const BodyId machine_;
  const SiteId button_;
};

const RegisterTasks<ButtonPress, ButtonPressTopdown, ButtonPressTopdownWall, ButtonPressWall,
                    CoffeeButton>
    kRegisterButtons;

}  // namespace
}  // namespace mentor::envs::metaworld
