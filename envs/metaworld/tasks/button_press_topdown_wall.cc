// button-press-topdown-wall-v3: reach over a wall and press a button from above.
#include "envs/metaworld/tasks/button.h"

namespace mentor::envs::metaworld {
namespace {

class ButtonPressTopdownWall : public ButtonTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "button-press-topdown-wall-v3",
      .summary = "Press a button behind a wall from above (Meta-World).",
      .xml = "sawyer_xyz/sawyer_button_press_topdown_wall.xml",
      .hand0 = {0, 0.4f, 0.2f},
      .rand_vec = {.size = 3, .low = {-0.1, 0.8, 0.115}, .high = {0.1, 0.9, 0.115}},
      .goal_low = {-0.5, 0.4, 0.05},
      .goal_high = {0.5, 1, 0.5},
  };

  explicit ButtonPressTopdownWall(Names& names)
      : ButtonTask(names, /*axis=*/2, /*face=*/{0, 0, 0.193}) {}

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Press p(s, e, /*axis=*/2, /*near_bound=*/0.01);
    return p.Result(s, 5 * H(s.g, p.near) + (p.d <= 0.03 ? 5 * p.pressed : 0), p.dt <= 0.024);
  }

  Advice Script(const Sight& s) const override {
    const Vec3 button = s.o + Vec3{0, -0.06, 0};
    const Vec3 above = Above(button, 0.1);
    return {.to = s.LevelTo(button) > 0.04 ? above : button, .gain = 25, .grip = -1};
  }
};

const RegisterTask<ButtonPressTopdownWall> kRegisterButtonPressTopdownWall;

}  // namespace
}  // namespace mentor::envs::metaworld
