// The arithmetic of an experiment: of its process, and of its learners. The last bits of its
// numbers are part of the results (docs/exactness.md).
#pragma once

#include <filesystem>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "mentor/v1/spec.pb.h"
#include "meta_learner/fleet/shard_board.h"

namespace mentor::meta_learner {

// Fingerprint of this process: simulators and LibTorch.
std::string ExperimentFingerprint();

// True if Mentor's kernels compute all numbers of the experiment. Its bits are those that it had
// before Mentor had one arithmetic for all processors, when LibTorch made others.
bool ByKernelsAlone(const v1::ExperimentSpec& spec);

// The first process of an experiment writes its fingerprint. A later process must have the same;
// otherwise FAILED_PRECONDITION NUMERIC_MISMATCH, and nothing changes. `anew` is the command that
// begins it anew, for the message. An experiment of the arithmetic before goes on if it is
// ByKernelsAlone; its folder then names the one arithmetic.
absl::Status KeepFingerprint(const std::filesystem::path& experiment_folder,
                             const std::string& fingerprint, const v1::ExperimentSpec& spec,
                             const std::string& anew);

// ---- The arithmetic of its learners, kept in its folder: one device and build from first results
// to last.

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
