// The bundles that an experiment's spec names, compiled and kept in memory.
#pragma once

#include <memory>
#include <vector>

#include <absl/status/statusor.h>

#include "envs/mjcf/plan.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::meta_learner {

// Compiles the spec's bundles. The plans stay in memory as long as the caller holds them.
// UNAVAILABLE where a later try may succeed: a bucket that does not answer, damaged or missing
// files, no time or memory for the compiler. Bundles with mistakes are left out; making the parts
// finds them.
absl::StatusOr<std::vector<std::shared_ptr<const envs::mjcf::Plan>>> HoldBundles(
    const v1::ExperimentSpec& spec);

}  // namespace mentor::meta_learner
