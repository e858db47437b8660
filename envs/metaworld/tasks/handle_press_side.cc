// handle-press-side-v3: press a handle down that is turned sideways.
#include "envs/metaworld/tasks/handle_press.h"

namespace mentor::envs::metaworld {
namespace {

class HandlePressSide : public HandlePressTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "handle-press-side-v3",
      .summary = "Press a handle down that points sideways (Meta-World).",
      .xml = "sawyer_xyz/sawyer_handle_press_sideways.xml",
      .hand0 = {0, 0.6, 0.2},
      .rand_vec = {.size = 3, .low = {-0.35, 0.65, -0.001}, .high = {-0.25, 0.75, 0.001}},
      .goal_low = {-0.5, 0.4, 0.05},
      .goal_high = {0.5, 1, 0.5},
  };

  explicit HandlePressSide(Names& names) : HandlePressTask(names) {}

  Advice Script(const Sight& s) const override { return PressDown(s, s.o, /*grip=*/1); }
};

const RegisterTask<HandlePressSide> kRegisterHandlePressSide;

}  // namespace
}  // namespace mentor::envs::metaworld
