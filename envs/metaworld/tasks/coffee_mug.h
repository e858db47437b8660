// What the two tasks share that move a mug in front of a coffee machine: coffee-pull and
// coffee-push.
#pragma once

#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {

class CoffeeMug : public Task {
 public:
  Objects Observe(const World& w) const override { return {w.At(mug_), w.R(mug_geom_)}; }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Vec3 k = {2, 2, 1};
    const double dt = Norm(s.o - e.target);
    const double scaled = Norm((s.o - e.target) * k);
    const double place = T(scaled, 0.05, Norm((e.obj0 - e.target) * k));
    const double d = Norm(s.o - s.tcp);
    const double grasp = Cage(s, e, s.o,
                              {.radius = 0.02,
                               .pad_margin = 0.05,
                               .medium_bound = 0.04,
                               .xz_bound = 0.05,
                               .effort = 0.7,
                               .density = CageShape::kMedium});
    double reward = H(grasp, place) + (d < 0.04 && s.g > 0 ? 1 + 5 * place : 0);
    if (scaled < 0.05) reward = 10;
    return {.reward = reward,
            .success = dt <= 0.07,
            .near_object = d <= 0.03,
            .grasp_success = s.g > 0 && s.world.Touching(mug_geom_),
            .grasp_reward = grasp,
            .in_place_reward = place,
            .obj_to_target = dt};
  }

 protected:
  explicit CoffeeMug(Names& names)
      : mug_(names.Body("obj")),
        machine_(names.Body("coffee_machine")),
        mug_geom_(names.Geom("mug")),
        goal_(names.Site("mug_goal")) {}

  // The mug goes from v[0:3] to v[3:6]; at `outlet` it stands under the machine's outlet.
  void Place(const RandVec& v, const Vec3& outlet, World& w, Episode& e) const {
    e.obj0 = v.Head();
    e.target = v.Tail();
    w.SetQpos(0, e.obj0);
    w.ZeroQvel(9, 15);  // Speeds of the arm: the mug's are the first six.
    w.Forward();
    w.SetBodyPos(machine_, outlet + Vec3{0, 0.22, 0});
    w.SetSitePos(goal_, e.target);
  }

  // Effort of the fingers: they close when they are around the mug.
  static double Grip(const Sight& s, double effort) {
    const Vec3 mug = s.o + Vec3{0.01, 0, 0.05};
    return s.Near(mug, 0.06, 0.1) ? effort : -1;
  }

 private:
  const BodyId mug_, machine_;
  const GeomId mug_geom_;
  const SiteId goal_;
};

}  // namespace mentor::envs::metaworld
