// The arithmetic that an experiment keeps to: the last bits of its numbers are part of its results.
#pragma once

#include <filesystem>
#include <string>

#include <absl/status/status.h>

namespace mentor::meta_learner {

// Fingerprint of this process: simulators and LibTorch.
std::string ExperimentFingerprint();

// The first process that runs an experiment writes its fingerprint down; a later one must have the
// same, else FAILED_PRECONDITION NUMERIC_MISMATCH and nothing changes.
absl::Status KeepFingerprint(const std::filesystem::path& experiment_folder,
                             const std::string& fingerprint);

}  // namespace mentor::meta_learner
