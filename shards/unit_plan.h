// Cuts one collection of a shard's agents into rollout units and joins their results. The cut never
// changes a number: episodes that do not depend on earlier ones may be simulated side by side. Pure
// functions.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "agents/segment.h"
#include "mentor/v1/rollout_service.pb.h"
#include "mentor/v1/shard_service.pb.h"

namespace mentor::shards {

// Shorter episodes share a unit, because a unit costs a message each way.
inline constexpr uint32_t kUnitStepsMin = 400;

// A collection: every agent acts for some steps.
struct CollectionPlan {
  uint32_t number = 0;  // Within the lifetime, from 0; part of the noise's key and of step numbers.
  uint32_t steps = 0;   // For each agent.
  bool mean_actions = false;   // Without noise.
  bool labels = false;         // The segment has labels.
  bool deterministic = false;  // Whole episodes from fresh resets, with mean actions.
  // Segment::final_observations holds all ended episodes' last observations; episodes have M steps.
  bool all_final_observations = false;
  // One for each agent, or n for each (agent-major), each acting for steps / n steps in turn.
  std::vector<v1::PolicyWeights> policies;
};

// Cursors before the first step of S lifetimes.
std::vector<v1::EpisodeCursor> FirstCursors(int64_t num_agents);

// The units of one collection in the order agent, part. A recurrent policy remembers, so its
// collection is one unit.
std::vector<v1::Unit> PlanUnits(const v1::Shard& shard, uint64_t unit_shard,
                                const CollectionPlan& plan,
                                const std::vector<v1::EpisodeCursor>& cursors);

// The segment that the units' results make, and the cursors after it. Results are in the order of
// the units.
absl::StatusOr<agents::Segment> AssembleSegment(const v1::Shard& shard, const CollectionPlan& plan,
                                                const std::vector<v1::Unit>& units,
                                                std::vector<v1::Result> results,
                                                std::vector<v1::EpisodeCursor>* cursors);

}  // namespace mentor::shards
