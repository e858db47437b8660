// A spec that fits its parts, for tests of what comes after its check.
#pragma once

#include "meta_learner/experiment/checked_spec.h"

namespace mentor::testing {

inline meta_learner::CheckedSpec CheckedSpecOf(const v1::ExperimentSpec& given) {
  Violations violations;
  return meta_learner::Check(given, &violations).value();
}

}  // namespace mentor::testing
