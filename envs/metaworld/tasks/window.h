// What window-open-v3 and window-close-v3 share: a pane that slides along x by its handle.
#pragma once

#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {

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
    return {.reward = 10 * H(grasp, place),
            .success = dt <= 0.05,
            .near_object = d <= 0.05,
            .grasp_success = 1,
            .grasp_reward = grasp,
            .in_place_reward = place,
            .obj_to_target = dt};
  }

  const BodyId window_;
  const SiteId handle_, goal_;
};

}  // namespace mentor::envs::metaworld
