// The arithmetic of an experiment's process. The last bits of its numbers are part of the results.
#pragma once

#include <filesystem>
#include <string>

#include <absl/status/status.h>

#include "mentor/v1/spec.pb.h"

namespace mentor::meta_learner {

// Fingerprint of this process: simulators and LibTorch.
std::string ExperimentFingerprint();

// The first process of an experiment writes its fingerprint. A later process must have the same;
// otherwise FAILED_PRECONDITION NUMERIC_MISMATCH, and nothing changes. `anew` is the command that
// begins it anew, for the message.
//
// Before Mentor had one arithmetic for all processors, LibTorch made other bits. Such an experiment
// goes on if Mentor's kernels compute all its numbers, and its folder then names the one
// arithmetic.
absl::Status KeepFingerprint(const std::filesystem::path& experiment_folder,
                             const std::string& fingerprint, const v1::ExperimentSpec& spec,
                             const std::string& anew);

}  // namespace mentor::meta_learner
