// Other settings of the agents that `mentor evaluate --set` teaches. Functions without state.
#pragma once

#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "cli/local/trained_run.h"
#include "mentor/v1/shard_service.pb.h"
#include "mentor/v1/spec.pb.h"

namespace mentor {

// Returns the agents of a run with the settings, each "agent.KEY=VALUE" as --set has them.
// INVALID_ARGUMENT where a run has learned its agents, and names every setting that is none of an
// agent, or that the run's parts refuse.
absl::StatusOr<v1::AgentSpec> StudentsOf(const TrainedRun& run,
                                         const std::vector<std::string>& settings);

// INVALID_ARGUMENT names every setting that agents of the shard do not read.
absl::Status CheckRead(const v1::Shard& shard, const std::vector<std::string>& settings);

}  // namespace mentor
