// Running mean and standard deviation of each agent's observations. Actors get it folded into the
// first layer of their policy. Pure except Add; one object for the agents of a shard.
#pragma once

#include <torch/types.h>

#include "agents/agent_shape.h"
#include "agents/segment.h"

namespace mentor::agents {

class ObservationNormaliser {
 public:
  // When disabled, everything passes unchanged.
  ObservationNormaliser(bool enabled, int64_t num_agents, int64_t observation_size);

  // (o - mean) / std of observations [S, ..., D], in their dtype and on their device.
  torch::Tensor Normalise(const torch::Tensor& observations) const;
  // The segment as agents see it.
  Segment Normalise(const Segment& segment) const;
  // Returns theta [S, P] whose policy gives on raw observations what `theta` gives on normalised
  // ones.
  torch::Tensor Fold(const AgentShape& shape, const torch::Tensor& theta) const;
  // Counts raw observations [S, T, D]. Call it before the next segment is collected.
  void Add(const torch::Tensor& observations);

  // [S, 2 D + 1] float64: count, means, sums of squared differences. Empty when disabled.
  const torch::Tensor& state() const { return state_; }
  torch::Tensor* mutable_state() { return &state_; }

 private:
  torch::Tensor Mean() const;  // [S, D] float64
  torch::Tensor Std() const;   // [S, D] float64

  const bool enabled_;
  const int64_t size_;  // D
  torch::Tensor state_;
};

}  // namespace mentor::agents
