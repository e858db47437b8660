// Cuts one inner iteration of a shard's agents into rollout units and puts their results together
// again. The cut never changes a number: episodes that depend on nothing before them may be
// simulated side by side. Pure functions.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "learner/segment.h"
#include "mentor/v1/rollout_service.pb.h"
#include "mentor/v1/shard_service.pb.h"

namespace mentor::learner {

// Where an agent's environment stands between two iterations.
struct EpisodeCursor {
  uint32_t episode = 0;    // Number of the running (or next) episode of the lifetime.
  uint32_t step = 0;       // Steps already made in it.
  bool success = false;    // Success already seen in it.
  bool prev_done = false;  // The last step ended an episode.
  std::string state;       // Of the environment; empty when the next step begins an episode.
};

// Units of one iteration in the order agent, part. theta: [S, P] float32; actor_size: numbers of
// theta that are the policy. iteration >= spec.lifetime.iterations: the deterministic episodes
// after the lifetime.
std::vector<v1::Unit> PlanUnits(const v1::Shard& shard, uint64_t unit_shard, uint32_t iteration,
                                const torch::Tensor& theta, int64_t actor_size,
                                const std::vector<EpisodeCursor>& cursors);

// The segment that the results of these units make, and the cursors after it. Results are in the
// order of the units.
absl::StatusOr<Segment> AssembleSegment(const v1::Shard& shard, uint32_t iteration,
                                        const std::vector<v1::Unit>& units,
                                        std::vector<v1::Result> results,
                                        std::vector<EpisodeCursor>* cursors);

}  // namespace mentor::learner
