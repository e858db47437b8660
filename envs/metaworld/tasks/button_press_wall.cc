// button-press-wall-v3: reach over a wall and press a button.
#include "envs/metaworld/tasks/button.h"

namespace mentor::envs::metaworld {
namespace {

class ButtonPressWall : public ButtonTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "button-press-wall-v3",
      .summary = "Press a button that faces the robot behind a wall (Meta-World).",
      .xml = "sawyer_xyz/sawyer_button_press_wall.xml",
      .hand0 = {0, 0.4f, 0.2f},
      .rand_vec = {.size = 3, .low = {-0.05, 0.85, 0.1149}, .high = {0.05, 0.9, 0.1151}},
      .goal_low = {-0.5, 0.4, 0.05},
      .goal_high = {0.5, 1, 0.5},
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
        p.d > 0.07 ? 2 * H((1 - s.g) / 2, p.near) : 2 + 2 * (1 + s.g) + 4 * (p.pressed * p.pressed);
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

const RegisterTask<ButtonPressWall> kRegisterButtonPressWall;

}  // namespace
}  // namespace mentor::envs::metaworld
