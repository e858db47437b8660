// `mentor run --from`: a run that goes on from a checkpoint of another one, longer or with other
// settings. What a clone may change is checked by the code of clones.
#pragma once

#include <filesystem>
#include <string>

#include <absl/status/statusor.h>

#include "common/violations.h"
#include "mentor/v1/spec.pb.h"
#include "meta_learner/store/checkpoint.h"

namespace mentor {

struct BranchSource {
  std::filesystem::path run;  // The folder that was named.
  v1::ExperimentSpec spec;    // As submitted.
  std::filesystem::path file;
  meta_learner::Checkpoint checkpoint;
};

// from: as FindRunPlace takes it.
absl::StatusOr<BranchSource> ReadBranch(const std::filesystem::path& from);

// Adds what the checkpoint does not allow in `spec`, which is a valid one.
void CheckBranch(const BranchSource& source, const v1::ExperimentSpec& spec,
                 Violations* violations);

}  // namespace mentor
