// The filter of ListExperiments: words and `field op value`, joined by AND. Pure functions;
// thread-safe.
#pragma once

#include <functional>
#include <string_view>

#include <absl/status/statusor.h>

#include "mentor/v1/experiment.pb.h"

namespace mentor::meta_learner {

using ExperimentFilter = std::function<bool(const v1::Experiment&)>;

// Returns null for an empty text. Returns INVALID_ARGUMENT with a violation of "filter" that gives
// the place and the cause.
//
//   state=RUNNING AND labels.team="a" AND create_time>2026-01-01T00:00:00Z
absl::StatusOr<ExperimentFilter> ParseFilter(std::string_view text);

}  // namespace mentor::meta_learner
