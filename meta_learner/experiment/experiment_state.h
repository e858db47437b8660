// What a checkpoint holds of an experiment beside its rule: how far it is, the best weights so far
// and agents in the middle of their lives. Not thread-safe.
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

// The meta-parameters under which lifetimes achieved most
// (docs/algorithms/black_box.md#outer-loop).
struct BestWeights {
  torch::Tensor weights = {};                               // [Q]
  double score = -std::numeric_limits<double>::infinity();  // Returns may be negative.
  std::vector<double> scores = {};                          // Of the last lifetimes, oldest first.

  // Lifetimes that lived under these meta-parameters have ended. The mean score of the last
  // `window` lifetimes decides. Lifetimes in whose last segment no episode ended have no part.
  void Consider(const std::vector<LifetimeOutcome>& outcomes, size_t window,
                const torch::Tensor& meta_parameters);
};

struct ExperimentState {
  uint32_t outer_step = 0;  // Outer updates done.
  uint64_t env_steps = 0;
  BestWeights best = {};
  std::vector<v1::Snapshot> lives = {};  // Of running shards, between two of their iterations.
};

// Into the sections of a checkpoint, but for outer_step, which its header has.
void AddState(const ExperimentState& state, std::map<std::string, std::string>* sections);
// DATA_LOSS names the section that is missing or damaged.
absl::StatusOr<ExperimentState> ReadState(const Checkpoint& checkpoint);
// Whether agents are in the middle of their lives.
bool HasRunningLives(const Checkpoint& checkpoint);
// Open episodes of which the snapshots do not say what they achieved, as those of 0.1.0.
int64_t UnknownOpenEpisodes(const ExperimentState& state);

}  // namespace mentor::meta_learner
