// `mentor run --from`: a run that continues from a checkpoint of another run, longer or with other
// settings. The code of clones checks which settings may change.
#pragma once

#include <filesystem>
#include <string>

#include <absl/status/statusor.h>

#include "common/violations.h"
#include "mentor/v1/spec.pb.h"
#include "meta_learner/store/checkpoint.h"

namespace mentor {

struct BranchSource {
  std::filesystem::path run;  // The folder that the user named.
  v1::ExperimentSpec spec;    // As submitted.
  std::filesystem::path file;
  meta_learner::Checkpoint checkpoint;
};

// `from` has the form that FindRunState takes.
absl::StatusOr<BranchSource> ReadBranch(const std::filesystem::path& from);

// Adds a violation for each field of the valid `spec`, with its defaults, that the checkpoint does
// not allow.
void CheckBranch(const BranchSource& source, const v1::ExperimentSpec& spec,
                 Violations* violations);

}  // namespace mentor
