// The result of a run, read from its folder: the spec, parts and meta-parameters of a checkpoint.
// Reads only.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "cli/local/run_report.h"
#include "common/violations.h"
#include "mentor/v1/spec.pb.h"
#include "meta_learner/experiment/evaluation.h"
#include "meta_learner/experiment/parts.h"

namespace mentor {

struct TrainedRun {
  RunFolder folder;
  v1::ExperimentSpec spec;              // With defaults filled in.
  meta_learner::ExperimentParts parts;  // For a run, the rule holds the checkpoint's state.
  torch::Tensor learned_parameters;     // [Q]: after the last outer update
  torch::Tensor initial_parameters;     // [Q]: before the first outer update
  torch::Tensor best_parameters;        // [Q]: with the best score so far
  uint32_t outer_step = 0;
  meta_learner::RunParameters parameters() const {
    return {.learned = learned_parameters, .best = best_parameters, .initial = initial_parameters};
  }
  std::string state_hash;  // Empty when nothing is to be learned (rule.outer_updates is 0).
};

// `path` has the form that FindRunState takes.
absl::StatusOr<TrainedRun> ReadRun(const std::filesystem::path& path);

// The spec of a run with its defaults, and its parts before the first update.
v1::ExperimentSpec ReadTrainedSpec(std::string_view text, meta_learner::ExperimentParts* parts,
                                   Violations* violations);

// The files of a run's `count` last checkpoints, newest first; fewer where it made fewer.
// FAILED_PRECONDITION where one is missing.
absl::StatusOr<std::vector<std::filesystem::path>> LastCheckpoints(const TrainedRun& run,
                                                                   uint32_t count);

}  // namespace mentor
