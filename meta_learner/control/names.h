// Names of resources, and what a user may write into one. Pure functions; threads may share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/violations.h"
#include "mentor/v1/experiment.pb.h"

namespace mentor::meta_learner {

// ^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$
bool IsExperimentId(std::string_view id);

// "experiments/{e}/checkpoints/{8 digits}" -> the experiment's name and the outer step.
std::optional<std::pair<std::string, uint32_t>> ParseCheckpointName(std::string_view name);
std::string CheckpointName(std::string_view experiment, uint32_t outer_step);

// "experiments/{e}/artifacts/{path}" -> the experiment's name and the path, which stays inside.
std::optional<std::pair<std::string, std::string>> ParseArtifactName(std::string_view name);

// Everything that a user may set beside the spec: labels, priority, weight, retention, deadline,
// retries_max, display_name. `prefix` begins the fields' names: "experiment.".
void CheckSettings(const v1::Experiment& experiment, std::string_view prefix,
                   Violations* violations);

}  // namespace mentor::meta_learner
