// What window-open-v3 and window-close-v3 share: a pane that slides along x by its handle.
#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {
namespace {

class WindowTask : public Task {
 public:
  WindowTask(Names& names, const char* handle)
      : window_(names.Body("window")), handle_(names.Site(handle)), goal_(names.Site("goal")) {}

  Objects Observe(const World& w) const override { return {w.At(handle_), {}}; }

 protected:
  // The pane is `slid` along its joint. Ends without a forward pass: the first observation shows
  // where the handle was before.
  void Settle(World& w, Episode& e, const Vec3& window, const Vec3& target, double slid) const {
    e.obj0 = window;
    e.target = target;
    w.SetBodyPos(window_, window);
    e.handle0 = w.At(handle_) + Vec3{slid, 0, 0};
    w.SetQpos(9, slid);
    w.SetSitePos(goal_, target);
  }

  // start: where along x the way to the goal is counted from. tolerance: T or G.
  static Outcome Slid(const StepView& s, const Episode& e, double start,
                      double (&tolerance)(double x, double bound, double margin)) {
    const double dt = std::abs(s.o[0] - e.target[0]);
    const double place = T(dt, 0.05, std::abs(std::abs(start - e.target[0]) - 0.05));
    const double d = Norm(s.o - s.tcp);
    const double grasp = tolerance(d, 0.02, std::abs(Norm(e.handle0 - e.tcp0) - 0.02));
    return {10 * H(grasp, place), dt <= 0.05, d <= 0.05, 1, grasp, place, dt};
  }

  const BodyId window_;
  const SiteId handle_, goal_;
};

// window-close-v3: slide a window shut.
class WindowClose : public WindowTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "window-close-v3",
      .summary = "Slide a window shut (Meta-World).",
      .xml = "sawyer_xyz/sawyer_window_horizontal.xml",
      .hand0 = {0, 0.4f, 0.2f},
      .rand_vec = {.size = 3, .low = {0, 0.75, 0.2}, .high = {0, 0.9, 0.2}},
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

// window-open-v3: slide a window open.
class WindowOpen : public WindowTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "window-open-v3",
      .summary = "Slide a window open (Meta-World).",
      .xml = "sawyer_xyz/sawyer_window_horizontal.xml",
      .hand0 = {0, 0.4f, 0.2f},
      .rand_vec = {.size = 3, .low = {-0.1, 0.7, 0.16}, .high = {0.1, 0.9, 0.16}},
  };

  explicit WindowOpen(Names& names) : WindowTask(names, "handleOpenStart") {}

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    Settle(w, e, v.Head(), v.Head() + Vec3{0.2, 0, 0}, 0);
  }

  Outcome Reward(const StepView& s, Episode& e) const override { return Slid(s, e, e.obj0[0], T); }

  Advice Script(const Sight& s) const override {
    const Vec3 handle = s.o + Vec3{-0.03, -0.03, -0.08};
    if (s.LevelTo(handle) > 0.04) return {Above(handle, 0.3), 25, 1};
    if (s.HeightTo(handle) > 0.02) return {handle, 25, 1};
    return {handle + Vec3{0.1, 0, 0}, 25, 1};
  }
};

const RegisterTasks<WindowClose, WindowOpen> kRegisterWindows;

}  // namespace
}  // namespace mentor::envs::metaworld
