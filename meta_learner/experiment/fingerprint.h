// The arithmetic of an experiment's process. The last bits of its numbers are part of the results.
#pragma once

#include <filesystem>
#include <string>

#include <absl/status/status.h>

#include "mentor/v1/spec.pb.h"

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

}  // namespace mentor::meta_learner
