// button-press-topdown-v3: press a button from above.
#include "envs/metaworld/tasks/button.h"

namespace mentor::envs::metaworld {
namespace {

class ButtonPressTopdown : public ButtonTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "button-press-topdown-v3",
      .summary = "Press a button from above (Meta-World).",
      .xml = "sawyer_xyz/sawyer_button_press_topdown.xml",
      .hand0 = {0, 0.4f, 0.2f},
      .rand_vec = {.size = 3, .low = {-0.1, 0.8, 0.115}, .high = {0.1, 0.9, 0.115}},
      .goal_low = {-0.5, 0.4, 0.05},
      .goal_high = {0.5, 1, 0.5},
  };

  explicit ButtonPressTopdown(Names& names)
      : ButtonTask(names, /*axis=*/2, /*face=*/{0, 0, 0.193}) {}

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Press p(s, e, /*axis=*/2, /*near_bound=*/0.01);
    // Closed fingers are worth more; behind the wall of the sister task, open ones.
    return p.Result(s, 5 * H(1 - s.g, p.near) + (p.d <= 0.03 ? 5 * p.pressed : 0), p.dt <= 0.024);
  }

  Advice Script(const Sight& s) const override {
    const Vec3 above = Above(s.o, 0.1);
    return {.to = s.LevelTo(s.o) > 0.04 ? above : s.o, .gain = 25, .grip = 1};
  }
};

const RegisterTask<ButtonPressTopdown> kRegisterButtonPressTopdown;

}  // namespace
}  // namespace mentor::envs::metaworld
