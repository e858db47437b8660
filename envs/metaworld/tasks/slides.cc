// Tasks with a plate, a window or a drawer, which slide.
#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {
namespace {

// A plate that slides on two joints, and a cabinet.
class PlateSlideTask : public Task {
 public:
  explicit PlateSlideTask(Names& names)
      : plate_(names.Geom("puck")), cabinet_(names.Body("puck_goal")), goal_(names.Site("goal")) {}

  Objects Observe(const World& w) const override { return {w.At(plate_), w.R(plate_)}; }

  // The reward of three of them: the hand presses on the plate from above and draws it along.
  Outcome Reward(const StepView& s, Episode& e) const override {
    const double place = T(s.dt, 0.05, Norm(e.obj0 - e.target) - 0.05);
    const double grasp = T(s.d, 0.05, Norm(e.tcp0 - e.obj0) - 0.05);
    const double reward = s.tcp[2] <= 0.03 && s.d < 0.07 ? 2 + 7 * place : 1.5 * grasp;
    return Slid(reward, s.d, s.dt, grasp, place);
  }

 protected:
  void Settle(const RandVec& v, World& w, Episode& e, double x, double y) const {
    e.obj0 = v.Head();
    e.target = v.Tail();
    w.SetQpos(9, std::array{x, y});
    w.Forward();
    w.SetSitePos(goal_, e.target);
  }

  static Outcome Slid(double reward, double d, double dt, double grasp, double place) {
    return {dt < 0.05 ? 10 : reward, dt <= 0.07, d <= 0.03, 0, grasp, place, dt};
  }

  const GeomId plate_;
  const BodyId cabinet_;
  const SiteId goal_;
};

class PlateSlide : public PlateSlideTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "plate-slide-v3",
      .summary = "Slide a plate into a cabinet (Meta-World).",
      .xml = "sawyer_xyz/sawyer_plate_slide.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 6, .low = {0, 0.6, 0, -0.1, 0.85, 0}, .high = {0, 0.6, 0, 0.1, 0.9, 0}},
  };

  using PlateSlideTask::PlateSlideTask;

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    w.SetBodyPos(cabinet_, v.Tail());
    Settle(v, w, e, 0, 0);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double place = T(s.dt, 0.05, Norm(e.obj0 - e.target));
    const double grasp = T(s.d, 0.05, Norm(e.tcp0 - e.obj0));
    return Slid(8 * H(grasp, place), s.d, s.dt, grasp, place);
  }

  Advice Script(const Sight& s) const override {
    const Vec3 rim = s.o + Vec3{0, -0.055, 0.03};
    if (s.LevelTo(rim) > 0.03) return {Above(rim, 0.1), 10, -1};
    if (s.HeightTo(rim) > 0.04) return {rim, 10, -1};
    return {{s.goal[0], 0.9, rim[2]}, 10, -1};
  }
};

class PlateSlideBack : public PlateSlideTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "plate-slide-back-v3",
      .summary = "Draw a plate out of a cabinet (Meta-World).",
      .xml = "sawyer_xyz/sawyer_plate_slide.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 6,
                   .low = {0, 0.85, 0, -0.1, 0.6, 0.015},
                   .high = {0, 0.85, 0, 0.1, 0.6, 0.015}},
  };

  using PlateSlideTask::PlateSlideTask;

  void Reset(const RandVec& v, World& w, Episode& e) const override { Settle(v, w, e, 0, 0.15); }

  Advice Script(const Sight& s) const override {
    const Vec3 rim = s.o + Vec3{0, -0.065, 0.025};
    if (s.LevelTo(rim) > 0.01) return {Above(rim, 0.1), 10, -1};
    if (s.HeightTo(rim) > 0.04) return {rim, 10, -1};
    if (s.hand[1] > 0.7) return {s.hand + Vec3{0, -0.1, 0}, 10, -1};
    if (s.hand[1] > 0.6) return {{0.15, 0.55, s.hand[2]}, 10, -1};
    return {{s.hand[0] - 0.1, 0.55, s.hand[2]}, 10, -1};
  }
};

class PlateSlideBackSide : public PlateSlideTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "plate-slide-back-side-v3",
      .summary = "Draw a plate sideways out of a cabinet (Meta-World).",
      .xml = "sawyer_xyz/sawyer_plate_slide_sideway.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 6,
                   .low = {-0.25, 0.6, 0, -0.05, 0.6, 0.015},
                   .high = {-0.25, 0.6, 0, 0.15, 0.6, 0.015}},
  };

  using PlateSlideTask::PlateSlideTask;

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    w.SetBodyPos(cabinet_, v.Head());
    Settle(v, w, e, -0.15, 0);
  }

  Advice Script(const Sight& s) const override {
    const Vec3 rim = s.o + Vec3{0.023, 0, 0.025};
    if (s.LevelTo(rim) > 0.01) return {Above(rim, 0.07), 10, 1};
    if (s.HeightTo(rim) > 0.04) return {rim, 10, 1};
    return {{s.hand[0] + 0.1, 0.6, s.hand[2]}, 10, 1};
  }
};

class PlateSlideSide : public PlateSlideTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "plate-slide-side-v3",
      .summary = "Slide a plate sideways into a cabinet (Meta-World).",
      .xml = "sawyer_xyz/sawyer_plate_slide_sideway.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 6,
                   .low = {0, 0.6, 0, -0.3, 0.54, 0},
                   .high = {0, 0.6, 0, -0.25, 0.66, 0}},
  };

  using PlateSlideTask::PlateSlideTask;

  void Reset(const RandVec& v, World& w, Episode& e) const override { Settle(v, w, e, 0, 0); }

  Advice Script(const Sight& s) const override {
    const Vec3 rim = s.o + Vec3{0.07, 0, -0.005};
    if (s.LevelTo(rim) > 0.04) return {Above(rim, 0.1), 25, 1};
    if (s.HeightTo(rim) > 0.04) return {rim, 25, 1};
    if (s.hand[0] > -0.2) return {{s.hand[0] - 0.1, 0.6, s.hand[2]}, 25, 1};
    return {rim + Vec3{-0.1, 0, 0}, 25, 1};
  }
};

// A pane that slides along x by its handle.
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
    const double grasp = tolerance(s.d, 0.02, std::abs(Norm(e.handle0 - e.tcp0) - 0.02));
    return {10 * H(grasp, place), dt <= 0.05, s.d <= 0.05, 1, grasp, place, dt};
  }

  const BodyId window_;
  const SiteId handle_, goal_;
};

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

class DrawerClose : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "drawer-close-v3",
      .summary = "Push a drawer in (Meta-World).",
      .xml = "sawyer_xyz/sawyer_drawer.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 3, .low = {-0.1, 0.9, 0}, .high = {0.1, 0.9, 0}},
  };

  explicit DrawerClose(Names& names)
      : drawer_(names.Body("drawer")),
        link_(names.Body("drawer_link")),
        goal_(names.Site("goal")) {}

  Objects Observe(const World& w) const override {
    return {w.At(link_) + Vec3{0, -0.16, 0.05}, {}};  // The orientation is not shown.
  }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    w.SetBodyPos(drawer_, v.Head());
    e.target = v.Head() + Vec3{0, -0.16, 0.09};
    w.SetQpos(9, -0.15);  // Pulled out.
    w.Forward();
    e.obj0 = Observe(w).position;
    w.SetSitePos(goal_, e.target);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double place = T(s.dt, 0.05, std::abs(Norm(e.obj0 - e.target) - 0.05));
    const double near = G(s.d, 0.005, std::abs(Norm(e.obj0 - e.tcp0) - 0.005));
    const double grasp = H(near, Clip(s.a[3], 0, 1));
    const bool success = s.dt <= 0.065;
    return {10 * (success ? 1 : H(grasp, place)), success, s.d <= 0.01, 1, grasp, place, s.dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 handle = Above(s.o, -0.02);
    // In front of the handle, above it if need be, then down and in.
    if (s.hand[1] > handle[1]) {
      if (s.hand[2] < handle[2] + 0.23) return {{s.hand[0], s.hand[1], handle[2] + 0.5}, 25, 1};
      return {handle + Vec3{0, -0.075, 0.23}, 25, 1};
    }
    if (s.HeightTo(handle) > 0.04) return {handle + Vec3{0, -0.075, 0}, 25, 1};
    return {handle, 25, 1};
  }

 private:
  const BodyId drawer_, link_;
  const SiteId goal_;
};

class DrawerOpen : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "drawer-open-v3",
      .summary = "Pull a drawer out (Meta-World).",
      .xml = "sawyer_xyz/sawyer_drawer.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 3, .low = {-0.1, 0.9, 0}, .high = {0.1, 0.9, 0}},
  };

  explicit DrawerOpen(Names& names)
      : drawer_(names.Body("drawer")),
        link_(names.Body("drawer_link")),
        goal_(names.Site("goal")) {}

  Objects Observe(const World& w) const override {
    return {w.At(link_) + Vec3{0, -0.16, 0}, w.Orientation(link_)};
  }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = v.Head();
    w.SetBodyPos(drawer_, e.obj0);
    e.target = e.obj0 + Vec3{0, -0.36, 0.09};
    w.SetSitePos(goal_, e.target);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Vec3 k = {3, 3, 1};
    const double place = T(s.dt, 0.02, 0.2);
    const double d = Norm(s.o - s.hand);
    const double grasp =
        T(Norm((s.o - s.hand) * k), 0.01, Norm((e.target + Vec3{0, 0.2, 0} - e.tcp0) * k));
    return {5 * (grasp + place), s.dt <= 0.03, d <= 0.03, s.g > 0, grasp, place, s.dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 handle = Above(s.o, -0.02);
    if (s.LevelTo(handle) > 0.06) return {Above(handle, 0.3), 4, -1};
    if (s.HeightTo(handle) > 0.04) return {handle, 4, -1};
    return {handle + Vec3{0, -0.06, 0}, 50, -1};  // Pull hard.
  }

 private:
  const BodyId drawer_, link_;
  const SiteId goal_;
};

const RegisterTasks<PlateSlide, PlateSlideBack, PlateSlideBackSide, PlateSlideSide, WindowClose,
                    WindowOpen, DrawerClose, DrawerOpen>
    kRegisterSlides;

}  // namespace
}  // namespace mentor::envs::metaworld
