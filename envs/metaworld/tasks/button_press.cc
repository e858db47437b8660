// button-press-v3: press a button in a wall.
#include "envs/metaworld/tasks/button.h"

namespace mentor::envs::metaworld {
namespace {

class ButtonPress : public ButtonTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "button-press-v3",
      .summary = "Press a button that faces the robot (Meta-World).",
      .xml = "sawyer_xyz/sawyer_button_press.xml",
      .hand0 = {0, 0.4f, 0.2f},
      .rand_vec = {.size = 3, .low = {-0.1, 0.85, 0.115}, .high = {0.1, 0.9, 0.115}},
      .goal_low = {-0.5, 0.4, 0.05},
      .goal_high = {0.5, 1, 0.5},
  };

  explicit ButtonPress(Names& names) : ButtonTask(names, /*axis=*/1, /*face=*/{0, -0.193, 0}) {}

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    w.SetQpos(9, 0.0);
    w.ZeroQvel(9, 10);
    ButtonTask::Reset(v, w, e);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Press p(s, e, /*axis=*/1, /*near_bound=*/0.05);
    return p.Result(s, 2 * H(s.g, p.near) + (p.d <= 0.05 ? 8 * p.pressed : 0), p.dt <= 0.02);
  }

  Advice Script(const Sight& s) const override {
    const Vec3 button = Above(s.o, -0.07);
    const bool aligned = std::abs(s.hand[0] - button[0]) <= 0.02 && s.HeightTo(button) <= 0.02;
    // Step back until aligned, then press.
    const double y = aligned ? button[1] + 0.02 : s.hand[1] - 0.1;
    return {.to = {button[0], y, button[2]}, .gain = 25, .grip = 0};
  }
};

const RegisterTask<ButtonPress> kRegisterButtonPress;

}  // namespace
}  // namespace mentor::envs::metaworld
