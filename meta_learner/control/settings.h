// Checks what a user may set beside the spec of an experiment. Pure; thread-safe.
#pragma once

#include <string_view>

#include "common/violations.h"
#include "mentor/v1/experiment.pb.h"

namespace mentor::meta_learner {

// Checks labels, priority, weight, retention, deadline, retries_max and display_name. `prefix` goes
// before the names of fields: "experiment.".
void CheckSettings(const v1::Experiment& experiment, std::string_view prefix,
                   Violations* violations);

}  // namespace mentor::meta_learner
