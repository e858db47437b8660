// What collects lifetimes for an outer rule. A rule asks for lifetimes in the middle of its update
// and goes on with what they were; learners and actors stay out of its sight. Used by one thread.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "agents/segment.h"

namespace mentor::meta_learner {

// The result of the inner loop of one shard.
struct ShardGradient {
  int64_t lifetimes = 0;
  torch::Tensor gradient;  // [Q] float64, summed over the lifetimes; undefined when there is none.
};

// All lifetimes of a round in the order of their numbers. N lifetimes, L steps.
struct LifetimeBatch {
  std::vector<std::string> environments;  // [N]: names for normalisers
  torch::Tensor task_indices = {};        // [N] int64: Lifetime.task_index, -1 where absent
  int64_t steps_per_iteration = 0;        // T
  // All segments joined: [N, L, ...]; last_done [N] and next_observations [N, D] belong to the last
  // step. Without RuleNeeds::segments it holds only what an evaluation needs.
  learner::Segment steps;
  std::vector<ShardGradient> shards;  // In the order of their lifetimes.
};

// A lifetime that a rule names itself.
struct RequestedLifetime {
  std::vector<double> parameters;  // The task's, in the benchmark's first training set.
  uint32_t variant = 0;            // Lifetime.variant
  uint32_t noise_number = 0;       // Lifetime.noise_number
};

// A round of lifetimes in place of those that the benchmark draws.
struct RoundRequest {
  std::vector<RequestedLifetime> lifetimes;  // At least one.
  uint32_t first_number = 0;                 // Lifetime.number of the first; the others follow.
  bool outer_learning = false;               // Shard.outer_learning
  uint32_t deterministic_episodes = 0;       // Shard.deterministic_episodes
  torch::Tensor meta_parameters;             // [Q] float32: what the learners get.
};

class Fleet {
 public:
  virtual ~Fleet() = default;
  // The lifetimes of this outer update, which live by the rule's meta-parameters. The benchmark and
  // the curriculum draw their tasks. With RuleNeeds::decisions_inside_lifetime: their next inner
  // iteration. A rule calls it once in an update.
  virtual absl::StatusOr<LifetimeBatch> Collect() = 0;
  // Lifetimes that the rule names (RuleNeeds::names_tasks), as often as it likes. The batch holds
  // outcomes only.
  virtual absl::StatusOr<LifetimeBatch> Collect(const RoundRequest& request) = 0;
  // After Collect() of a rule with decisions inside the lifetime: lifetime i continues with the
  // agent of lifetime parents[i]. One entry for each lifetime of the round, in their order.
  virtual absl::Status GoOnAs(std::vector<uint32_t> parents) = 0;
};

}  // namespace mentor::meta_learner
