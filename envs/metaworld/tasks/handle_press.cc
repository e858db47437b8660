// handle-press-v3: press a handle down.
#include "envs/metaworld/tasks/handle_press.h"

namespace mentor::envs::metaworld {
namespace {

class HandlePress : public HandlePressTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "handle-press-v3",
      .summary = "Press a handle down (Meta-World).",
      .xml = "sawyer_xyz/sawyer_handle_press.xml",
      .hand0 = {0, 0.6, 0.2},
      .rand_vec = {.size = 3, .low = {-0.1, 0.8, -0.001}, .high = {0.1, 0.9, 0.001}},
      .goal_low = {-0.1, 0.55, 0.04},
      .goal_high = {0.1, 0.7, 0.08},
  };

  explicit HandlePress(Names& names) : HandlePressTask(names) {}

  Advice Script(const Sight& s) const override {
    return PressDown(s, s.o + Vec3{0, -0.02, 0}, /*grip=*/-1);
  }
};

const RegisterTask<HandlePress> kRegisterHandlePress;

}  // namespace
}  // namespace mentor::envs::metaworld
