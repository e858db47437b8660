// Turns what an experiment left behind (store, evaluation files, checkpoints) into its report.
// Functions without state.
#pragma once

#include <filesystem>

#include <absl/status/statusor.h>

#include "mentor/report/report.h"
#include "meta_learner/store.h"

namespace mentor {

// The numbers of an experiment so far.
absl::StatusOr<report::ReportData> ReportDataOf(meta_learner::ExperimentStore* store,
                                                const v1::Experiment& experiment);

// A state folder with one experiment, or the folder of an experiment (STATE/experiments/UID).
struct RunFolder {
  std::filesystem::path state;
  std::filesystem::path experiment;
};
// NOT_FOUND says what a run folder looks like.
absl::StatusOr<RunFolder> FindRun(const std::filesystem::path& folder);

// The hash of `mentor hash`: the newest whole checkpoint's state (signal network, optimizer,
// normalisers, best weights). Reads only: nothing is moved or removed.
struct RunHash {
  std::string state_hash;
  uint32_t outer_step = 0;
  std::filesystem::path checkpoint;
};
absl::StatusOr<RunHash> HashRun(const std::filesystem::path& folder);

}  // namespace mentor
