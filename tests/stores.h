// Experiments in a store, for tests.
#pragma once

#include <string>

#include "common/spec/spec.h"
#include "meta_learner/store/store.h"

namespace mentor::testing {

// A spec of five outer updates. With an empty id the store makes one.
inline meta_learner::NewExperiment SmallExperiment(const std::string& id = "") {
  return meta_learner::WithSpec(
      LoadSpec("benchmark { name: 'point_reach' } rule { outer_updates: 5 }").value(), id);
}

inline v1::Experiment CreateSmall(meta_learner::ExperimentStore* store, const std::string& id) {
  return store->Create(SmallExperiment(id)).value();
}

// The same, at work.
inline v1::Experiment StartSmall(meta_learner::ExperimentStore* store, const std::string& id) {
  using S = v1::Experiment;
  const v1::Experiment queued = CreateSmall(store, id);
  return store->Transition(queued.name(), {S::STATE_QUEUED}, S::STATE_RUNNING).value();
}

}  // namespace mentor::testing
