// What stick-push-v3 and stick-pull-v3 share: a stick on the table and a container with a handle.
#pragma once

#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {

class StickTask : public Task {
 public:
  explicit StickTask(Names& names)
      : stick_(names.Body("stick")),
        container_(names.Body("object")),
        stick_geom_(names.Geom("objGeom")),
        insertion_(names.Site("insertion")),
        goal_(names.Site("goal")) {}

 protected:
  // The container slides on two joints and stands at (0, y) of them.
  void Settle(World& w, Episode& e, const Vec3& stick, const Vec3& target, double y) const {
    e.stick0 = stick;
    e.target = target;
    w.PutObject(stick);
    w.SetQpos(16, std::array{0.0, y});
    w.ZeroQvel(16, 18);
    w.Forward();
    e.obj0 = w.At(container_);
    w.SetSitePos(goal_, target);
  }

  // Takes the stick by `grip_point`, brings it to the container axis by axis, and then goes to
  // `goal`.
  static Advice Carry(const Sight& s, const Vec3& grip_point, const Vec3& container,
                      const Vec3& goal, double gain) {
    const Vec3& p = grip_point;
    const double grip = s.Near(p, 0.02, 0.1) ? 0.7 : -1;
    const auto far = [&](int i) { return std::abs(p[i] - container[i]); };
    if (far(0) <= 0.04) return {goal, gain, grip};
    if (s.LevelTo(p) > 0.02) return {Above(p, 0.1), gain, grip};
    if (s.HeightTo(p) > 0.02) return {p, gain, grip};
    if (far(1) > 0.02) return {{p[0], container[1], p[2]}, gain, grip};
    if (far(2) > 0.02) return {{p[0], container[1], container[2]}, gain, grip};
    return {container, gain, grip};
  }

  const BodyId stick_, container_;
  const GeomId stick_geom_;
  const SiteId insertion_, goal_;
};

}  // namespace mentor::envs::metaworld
