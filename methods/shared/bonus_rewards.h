// Exploration bonuses of a shard's agents beside the task's success (bonuses/README.md): what the
// baselines PPO_RND, PPO_ICM and PPO_COUNTS learn from. Each agent has a bonus of its own, which
// lives and learns with it. One thread.
#pragma once

#include <torch/types.h>

#include <memory>
#include <vector>

#include <absl/status/statusor.h>

#include "bonuses/bonus.h"
#include "methods/base/inner_loop.h"

namespace mentor::methods {

// The bonus of this reward source; null if it has none.
const bonuses::BonusEntry* BonusOf(v1::RewardSource source);

class BonusRewards {
 public:
  explicit BonusRewards(const InnerLoopContext& context);

  // False if the shard's reward source has no bonus; nothing else is then called.
  bool enabled() const { return entry_ != nullptr; }
  // New agents.
  void Begin();
  // [S, T] float64: success and bonus of each step. The bonuses then learn from the segment.
  absl::StatusOr<torch::Tensor> Rewards(const agents::Segment& segment);
  // The bonuses' numbers one agent after another, and how many each has. The only part of the
  // state whose shape varies.
  void AddTo(StateFields* fields);
  // What bonuses hold, beside their agents.
  LoopSizes Sizes() const;

 private:
  bonuses::StepSizes StepSizesOf() const;
  void Save(TensorMap* state) const;
  absl::Status Load(const TensorMap& state);

  const InnerLoopContext context_;
  const bonuses::BonusEntry* const entry_;
  OptionValues options_;
  std::vector<std::unique_ptr<bonuses::Bonus>> bonuses_;  // One for each agent.
};

}  // namespace mentor::methods
