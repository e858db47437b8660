// What the tasks share whose object is the puck "obj" of the scene and whose goal is the site
// "goal". Their files say what they do differently.
#pragma once

#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {

class PuckTask : public Task {
 public:
  explicit PuckTask(Names& names)
      : puck_(names.Body("obj")), puck_geom_(names.Geom("objGeom")), goal_(names.Site("goal")) {}

  Objects Observe(const World& w) const override { return {w.At(puck_), w.R(puck_geom_)}; }

  // v is start and goal.
  void Reset(const RandVec& v, World& w, Episode& e) const override {
    Settle(w, e, v.Head(), v.Tail());
  }

 protected:
  void Settle(World& w, Episode& e, const Vec3& start, const Vec3& target) const {
    e.obj0 = start;
    e.target = target;
    w.PutObject(start);
    w.SetSitePos(goal_, target);
  }

  // Start and goal at the height that the puck has now; the z components of v are not used.
  void SettleOnTable(World& w, Episode& e, const RandVec& v) const {
    const double z = Observe(w).position[2];
    Settle(w, e, {v[0], v[1], z}, {v[3], v[4], z});
  }

  bool Grasped(const StepView& s, const Episode& e) const {
    return metaworld::Grasped(s, puck_geom_, e.obj0[2]);
  }

  const BodyId puck_;
  const GeomId puck_geom_;
  const SiteId goal_;
};

}  // namespace mentor::envs::metaworld
