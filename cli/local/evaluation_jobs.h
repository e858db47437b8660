// Runs evaluations in this process, with a progress bar.
#pragma once

#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "cli/local/cluster.h"
#include "meta_learner/experiment/evaluation.h"

namespace mentor {

// Runs the jobs in a separate thread, one after the other, and makes their folders. Returns true if
// a signal stopped them: finished shards stay.
absl::StatusOr<bool> RunEvaluationJobs(const std::vector<meta_learner::EvaluationJob>& jobs,
                                       std::string_view activity, bool quiet, Cluster* cluster);

// Prints how much the jobs evaluate, and flags for less where that takes long.
void PrintPlan(const std::vector<meta_learner::EvaluationJob>& jobs);

}  // namespace mentor
