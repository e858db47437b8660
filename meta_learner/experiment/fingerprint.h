// The arithmetic of an experiment's process. The last bits of its numbers are part of the results.
#pragma once

#include <filesystem>
#include <string>

#include <absl/status/status.h>

namespace mentor::meta_learner {

// Fingerprint of this process: simulators and LibTorch.
std::string ExperimentFingerprint();

// The first process of an experiment writes its fingerprint. A later process must have the same;
// otherwise FAILED_PRECONDITION NUMERIC_MISMATCH, and nothing changes.
absl::Status KeepFingerprint(const std::filesystem::path& experiment_folder,
                             const std::string& fingerprint);

}  // namespace mentor::meta_learner
