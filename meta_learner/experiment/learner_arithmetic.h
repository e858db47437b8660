// The arithmetic of an experiment's learners, kept in its folder: one device and build from first
// results to last (docs/exactness.md).
#pragma once

#include <filesystem>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "meta_learner/fleet/shard_board.h"

namespace mentor::meta_learner {

// The arithmetic of learners on this machine's CPU: "cpu 0b5c...".
std::string CpuArithmetic();

// See LearnerInfo. Empty before the first results.
absl::StatusOr<std::string> LearnerArithmetic(const std::filesystem::path& experiment_folder);

// NUMERIC_MISMATCH unless the experiment may continue with learners of this arithmetic.
absl::Status CheckLearnerArithmetic(const std::filesystem::path& experiment_folder,
                                    const std::string& arithmetic);

// Replaces what is kept, if that is `before`: both names stand for the same bits.
absl::Status RenameLearnerArithmetic(const std::filesystem::path& experiment_folder,
                                     const std::string& before, const std::string& now);

// From now on the board gives the experiment's shards only to learners of its arithmetic. The
// arithmetic of the first results is recorded before they are handed out.
absl::Status KeepLearnerArithmetic(const std::filesystem::path& experiment_folder,
                                   const std::string& experiment, ShardBoard* board);

}  // namespace mentor::meta_learner
