// The part of a checkpoint beside the rule's: progress, the best weights so far, and agents in the
// middle of their lives. Not thread-safe.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "mentor/v1/shard_service.pb.h"
#include "meta_learner/experiment/outcomes.h"
#include "meta_learner/store/checkpoint.h"

namespace mentor::meta_learner {

// The meta-parameters under which lifetimes achieved most (methods/black_box/README.md#outer-loop).
struct BestWeights {
  torch::Tensor weights = {};                               // [Q]
  double score = -std::numeric_limits<double>::infinity();  // Returns may be negative.
  std::vector<double> scores = {};  // Scores of the last lifetimes, oldest first.
  uint32_t outer_step = 0;          // Outer updates that the weights had made.

  // Takes the outcomes of finished lifetimes under these meta-parameters. The mean score of the
  // last `window` lifetimes decides. Lifetimes without an ended episode in their last segment are
  // left out.
  void Consider(const std::vector<LifetimeOutcome>& outcomes, size_t window,
                const torch::Tensor& meta_parameters, uint32_t outer_step);
};

struct ExperimentState {
  uint32_t outer_step = 0;  // Outer updates done.
  uint64_t env_steps = 0;
  BestWeights best = {};
  // Snapshots of running shards, between two of their iterations.
  std::vector<v1::Snapshot> lives = {};
};

// True after the last outer update: all are made, or rule.patience rounds in a row had no better
// score. The newest weights have none yet.
bool IsTrained(const ExperimentState& state, const v1::RuleSpec& rule);

// Adds the state to a checkpoint's sections, except outer_step, which the header has.
// best.outer_step is outside the hash, and only there where the rule has patience.
void AddState(const ExperimentState& state, const v1::RuleSpec& rule,
              std::map<std::string, std::string>* sections);
// DATA_LOSS names the section that is missing or damaged.
absl::StatusOr<ExperimentState> ReadState(const Checkpoint& checkpoint);
// True if agents are in the middle of their lives.
bool HasRunningLives(const Checkpoint& checkpoint);
// Counts open episodes whose achievements the snapshots lack, as in snapshots of 0.1.0.
int64_t UnknownOpenEpisodes(const ExperimentState& state);

}  // namespace mentor::meta_learner
