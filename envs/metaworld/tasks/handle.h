// What the tasks with a handle share: a box with a handle that turns, to be pressed or pulled.
#pragma once

#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {

class HandleTask : public Task {
 public:
  Objects Observe(const World& w) const override {
    return {w.At(handle_), {}};  // The orientation is not shown.
  }

 protected:
  HandleTask(Names& names, const char* handle, const char* goal)
      : box_(names.Body("box")), handle_(names.Site(handle)), goal_(names.Site(goal)) {}

  // The box at v, the handle turned to `angle`.
  void Settle(const RandVec& v, World& w, Episode& e, double angle) const {
    w.SetBodyPos(box_, v.Head());
    w.SetQpos(9, angle);
    w.ZeroQvel(9, 10);
    w.Forward();
    e.target = w.At(goal_);
  }

 private:
  const BodyId box_;
  const SiteId handle_, goal_;
};

}  // namespace mentor::envs::metaworld
