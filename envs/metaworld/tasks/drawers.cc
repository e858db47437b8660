// Tasks with a drawer.
#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {
namespace {

// drawer-close-v3: push a drawer in.
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
    const double dt = Norm(s.o - e.target);
    const double place = T(dt, 0.05, std::abs(Norm(e.obj0 - e.target) - 0.05));
    const double d = Norm(s.o - s.tcp);
    const double near = G(d, 0.005, std::abs(Norm(e.obj0 - e.tcp0) - 0.005));
    const double grasp = H(near, Clip(s.a[3], 0, 1));
    const bool success = dt <= 0.065;
    return {10 * (success ? 1 : H(grasp, place)), success, d <= 0.01, 1, grasp, place, dt};
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

// drawer-open-v3: pull a drawer out by its handle.
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
    const double dt = Norm(s.o - e.target);
    const double place = T(dt, 0.02, 0.2);
    const double d = Norm(s.o - s.hand);
    const double grasp =
        T(Norm((s.o - s.hand) * k), 0.01, Norm((e.target + Vec3{0, 0.2, 0} - e.tcp0) * k));
    return {5 * (grasp + place), dt <= 0.03, d <= 0.03, s.g > 0, grasp, place, dt};
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

const RegisterTasks<DrawerClose, DrawerOpen> kRegisterDrawers;

}  // namespace
}  // namespace mentor::envs::metaworld
