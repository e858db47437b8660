// window-close-v3: slide a window shut.
#include "envs/metaworld/tasks/window.h"

namespace mentor::envs::metaworld {
namespace {

class WindowClose : public WindowTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "window-close-v3",
      .summary = "Slide a window shut (Meta-World).",
      .xml = "sawyer_xyz/sawyer_window_horizontal.xml",
      .hand0 = {0, 0.4f, 0.2f},
      .rand_vec = {.size = 3, .low = {0, 0.75, 0.2}, .high = {0, 0.9, 0.2}},
      .goal_low = {-0.5, 0.4, 0.05},
      .goal_high = {0.5, 1, 0.5},
  };

  explicit WindowClose(Names& names) : WindowTask(names, "handleCloseStart") {}

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    Settle(w, e, v.Head(), v.Head(), 0.2);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    return Slid(s, e, e.handle0[0], G);
  }

  Advice Script(const Sight& s) const override {
    const Vec3 handle = s.o + Vec3{0.03, -0.03, -0.08};
    if (s.LevelTo(handle) > 0.04) return {Above(handle, 0.25), 25, 1};
    if (s.HeightTo(handle) > 0.02) return {handle, 25, 1};
    return {handle + Vec3{-0.1, 0, 0}, 25, 1};
  }
};

const RegisterTask<WindowClose> kRegisterWindowClose;

}  // namespace
}  // namespace mentor::envs::metaworld
