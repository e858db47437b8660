// The lifetimes of one outer update: requests to learners and their answers. Pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "mentor/v1/shard_service.pb.h"
#include "mentor/v1/spec.pb.h"
#include "meta_learner/curricula/curriculum.h"
#include "meta_learner/experiment/outcomes.h"
#include "meta_learner/experiment/shards.h"
#include "meta_learner/experiment/task_sampler.h"
#include "meta_learner/fleet/shard_board.h"
#include "methods/base/outer_rule.h"

namespace mentor::meta_learner {

// For rules with decisions inside a lifetime, an outer update is one inner iteration. Agents
// continue from the last update's snapshots; new ones begin when their lives are over.
struct Round {
  uint32_t generation = 0;                 // Lifetimes stay the same throughout a generation.
  std::optional<uint32_t> iteration = {};  // Inner iteration of its lifetimes; none: all of them.
  bool last = true;                        // The lifetimes end with it.
};

Round RoundOf(const methods::RuleNeeds& needs, const v1::ExperimentSpec& spec, uint32_t outer_step);

// `lives`: snapshots of all shards when the round continues them; DATA_LOSS when their number
// differs.
absl::StatusOr<std::vector<v1::Shard>> RoundShards(const ShardOwner& owner,
                                                   const std::vector<SampledTask>& tasks,
                                                   const methods::RuleNeeds& needs,
                                                   const Round& round,
                                                   const std::vector<v1::Snapshot>& lives);

// Lifetime i continues with the agent of lifetime parents[i], in the round's order [F]. Copies what
// the snapshots hold of agents and their normalisers, not the state of tasks. INTERNAL names a
// tensor whose form differs.
absl::Status TakeOver(const std::vector<uint32_t>& parents, std::vector<v1::Snapshot>* lives);

std::vector<LifetimeOutcome> JoinOutcomes(const std::vector<ShardResult>& results);

methods::LifetimeBatch MakeBatch(const std::vector<ShardResult>& results,
                                 const std::vector<SampledTask>& tasks,
                                 int64_t steps_per_iteration);

// Metrics of the lifetimes' achievements and of their inner loops: the mean over the lifetimes of
// the shards that report one. Without an ended episode there is no return.
std::map<std::string, double> RoundResults(const Round& round,
                                           const std::vector<LifetimeOutcome>& outcomes,
                                           const std::vector<SampledTask>& tasks,
                                           const std::vector<ShardResult>& results);

// What each lifetime achieved in its last inner iteration.
std::vector<Achievement> LastAchievements(const std::vector<LifetimeOutcome>& outcomes,
                                          const std::vector<ShardResult>& results);

// CPU seconds of all shards, by phase: "rollout_seconds", ...
std::map<std::string, double> PhaseTimings(const std::vector<ShardResult>& results);

// How many lifetimes share a task, as TrainingTasks takes it.
inline int AlikeLifetimes(const methods::RuleNeeds& needs) {
  return needs.alike == methods::RuleNeeds::Alike::kTask ? 0 : needs.pairs() ? 2 : 1;
}

}  // namespace mentor::meta_learner
