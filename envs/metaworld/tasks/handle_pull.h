// What handle-pull-v3 and handle-pull-side-v3 share: a box with a lever that is to be pulled up.
#pragma once

#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {

class HandlePullTask : public Task {
 public:
  HandlePullTask(Names& names, const char* handle)
      : box_(names.Body("box")), handle_(names.Site(handle)), goal_(names.Site("goalPull")) {}

  Objects Observe(const World& w) const override { return {w.At(handle_), {}}; }

 protected:
  // The box at v, the lever down.
  void Settle(const RandVec& v, World& w, Episode& e) const {
    w.SetBodyPos(box_, v.Head());
    w.SetQpos(9, -0.1);
    w.ZeroQvel(9, 10);
    w.Forward();
    e.target = w.At(goal_);
  }

 private:
  const BodyId box_;
  const SiteId handle_, goal_;
};

}  // namespace mentor::envs::metaworld
