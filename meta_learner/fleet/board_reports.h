// What the meta-learner logs and counts about the work of its board.
#pragma once

#include <string>

#include <absl/status/status.h>

#include "common/metrics.h"
#include "meta_learner/fleet/shard_board.h"

namespace mentor::meta_learner {

// Returns the options with hooks that log and count. The metrics must outlive the board.
ShardBoard::Options WithReports(ShardBoard::Options options, Metrics* metrics);

// Returns FAILED_PRECONDITION NUMERIC_MISMATCH, with both arithmetics and what to do.
absl::Status ArithmeticMismatch(const std::string& kept, const std::string& got);

}  // namespace mentor::meta_learner
