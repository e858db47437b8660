// The lifetimes of one outer update: what learners are asked for, and what their answers say. Pure
// functions.
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
#include "meta_learner/rules/outer_rule.h"

namespace mentor::meta_learner {

// An outer update of rules with decisions inside a lifetime is one inner iteration: agents live on
// from the last update's snapshots, and new ones begin when they have had their life.
struct Round {
  uint32_t generation = 0;                 // The lifetimes are the same throughout a generation.
  std::optional<uint32_t> iteration = {};  // Inner iteration of its lifetimes; none: all of them.
  bool last = true;                        // The lifetimes end with it.
};

Round RoundOf(const RuleNeeds& needs, const v1::ExperimentSpec& spec, uint32_t outer_step);

// lives: snapshots of all shards when the round goes on with them; DATA_LOSS when there are others.
absl::StatusOr<std::vector<v1::Shard>> RoundShards(const ShardOwner& owner,
                                                   const std::vector<SampledTask>& tasks,
                                                   const RuleNeeds& needs, const Round& round,
                                                   const std::vector<v1::Snapshot>& lives);

// Every lifetime goes on with the agent of its parent, [F] places in the round's order: what the
// snapshots say of agents and their normalisers is copied, where tasks stand is not. INTERNAL names
// the tensor of two that do not fit.
absl::Status TakeOver(const std::vector<uint32_t>& parents, std::vector<v1::Snapshot>* lives);

// The outcomes of all lifetimes, in their order.
std::vector<LifetimeOutcome> JoinOutcomes(const std::vector<ShardResult>& results);

LifetimeBatch MakeBatch(const std::vector<ShardResult>& results,
                        const std::vector<SampledTask>& tasks, int64_t steps_per_iteration);

// Metrics of what the lifetimes achieved, and of what their inner loops say: the mean over the
// lifetimes of those shards that say it (where no episode ended there is no return).
std::map<std::string, double> RoundResults(const Round& round,
                                           const std::vector<LifetimeOutcome>& outcomes,
                                           const std::vector<SampledTask>& tasks,
                                           const std::vector<ShardResult>& results);

// What each lifetime achieved in its last inner iteration, which has ended.
std::vector<Achievement> LastAchievements(const std::vector<LifetimeOutcome>& outcomes,
                                          const std::vector<ShardResult>& results);

// CPU seconds of all shards, by phase: "rollout_seconds", ...
std::map<std::string, double> PhaseTimings(const std::vector<ShardResult>& results);

}  // namespace mentor::meta_learner
