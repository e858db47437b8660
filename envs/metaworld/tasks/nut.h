// What the tasks with a nut and a peg share: the nut is seen where its handle is.
#pragma once

#include "envs/metaworld/tasks/approach.h"

namespace mentor::envs::metaworld {

class NutTask : public Task {
 public:
  explicit NutTask(Names& names)
      : nut_(names.Body("RoundNut")),
        peg_(names.Body("peg")),
        handle_(names.Site("RoundNut-8")),
        centre_(names.Site("RoundNut")),
        peg_top_(names.Site("pegTop")) {}

  Objects Observe(const World& w) const override { return {w.At(handle_), w.Orientation(nut_)}; }

 protected:
  const BodyId nut_, peg_;
  const SiteId handle_, centre_, peg_top_;
};

}  // namespace mentor::envs::metaworld
