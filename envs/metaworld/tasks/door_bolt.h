// What the tasks with a door's bolt share: a door at v, and the site by which the bolt is seen.
#pragma once

#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {

class DoorBoltTask : public Task {
 public:
  Objects Observe(const World& w) const override {
    return {w.At(bolt_), w.Orientation(door_link_)};
  }

 protected:
  DoorBoltTask(Names& names, const char* bolt)
      : door_(names.Body("door")),
        door_link_(names.Body("door_link")),
        lock_link_(names.Body("lock_link")),
        bolt_(names.Site(bolt)) {}

  const BodyId door_, door_link_, lock_link_;
  const SiteId bolt_;
};

}  // namespace mentor::envs::metaworld
