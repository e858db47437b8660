// A spec that fits its parts, for tests of what comes after its check.
#pragma once

#include <optional>
#include <stdexcept>

#include "common/violations.h"
#include "meta_learner/experiment/checked_spec.h"

namespace mentor::testing {

inline meta_learner::CheckedSpec CheckedSpecOf(const v1::ExperimentSpec& given) {
  Violations violations;
  std::optional<meta_learner::CheckedSpec> checked = meta_learner::Check(given, &violations);
  if (!checked.has_value()) throw std::invalid_argument(violations.ToStatus().ToString());
  return *std::move(checked);
}

}  // namespace mentor::testing
