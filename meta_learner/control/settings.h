// What a user may write beside the spec of an experiment. Pure; threads may share.
#pragma once

#include <string_view>

#include "common/violations.h"
#include "mentor/v1/experiment.pb.h"

namespace mentor::meta_learner {

// Labels, priority, weight, retention, deadline, retries_max, display_name. `prefix` begins the
// fields' names: "experiment.".
void CheckSettings(const v1::Experiment& experiment, std::string_view prefix,
                   Violations* violations);

}  // namespace mentor::meta_learner
