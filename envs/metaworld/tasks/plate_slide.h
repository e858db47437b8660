// What the four plate-slide tasks share: a plate that slides on two joints, and a cabinet.
#pragma once

#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {

class PlateSlideTask : public Task {
 public:
  explicit PlateSlideTask(Names& names)
      : plate_(names.Geom("puck")), cabinet_(names.Body("puck_goal")), goal_(names.Site("goal")) {}

  Objects Observe(const World& w) const override { return {w.At(plate_), w.R(plate_)}; }

  // The reward of three of them: the hand presses on the plate from above and draws it along.
  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = Norm(s.o - e.target);
    const double d = Norm(s.o - s.tcp);
    const double place = T(dt, 0.05, Norm(e.obj0 - e.target) - 0.05);
    const double grasp = T(d, 0.05, Norm(e.tcp0 - e.obj0) - 0.05);
    const double reward = s.tcp[2] <= 0.03 && d < 0.07 ? 2 + 7 * place : 1.5 * grasp;
    return Slid(reward, d, dt, grasp, place);
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
    return {.reward = dt < 0.05 ? 10 : reward,
            .success = dt <= 0.07,
            .near_object = d <= 0.03,
            .grasp_success = 0,
            .grasp_reward = grasp,
            .in_place_reward = place,
            .obj_to_target = dt};
  }

  const GeomId plate_;
  const BodyId cabinet_;
  const SiteId goal_;
};

}  // namespace mentor::envs::metaworld
