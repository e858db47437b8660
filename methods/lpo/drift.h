// How far an agent's policy drifts, as a network of each step's ratio and advantage (Lu et al.
// 2022; methods/lpo/README.md#the-drift). Whatever its weights, it is not negative, and it is 0
// with a slope of 0 where the policy has not moved. Immutable; threads may share.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>

#include "signals/signal_network.h"

namespace mentor::methods {

struct DriftConfig {
  int64_t hidden = 128;
  double xi = 1e-4;      // What the network's output must exceed to count.
  bool from_ppo = true;  // The network's output is added to the drift of PPO's clip.
};

class DriftNetwork : public signals::SignalNetwork {
 public:
  explicit DriftNetwork(const DriftConfig& config);

  const agents::ParamLayout& layout() const override { return layout_; }
  // The output layer is 0, so the network has no effect yet.
  torch::Tensor InitialWeights(uint64_t seed) const override;
  int64_t NumbersPerStep(bool graph) const override;

  // [S, B], from ln r and A [S, B] of agents with the weights [S, Q]; differentiable. `clip` is
  // PPO's.
  torch::Tensor Drift(const torch::Tensor& weights, const torch::Tensor& log_ratio,
                      const torch::Tensor& advantages, double clip) const;

 private:
  const DriftConfig config_;
  const agents::ParamLayout layout_;
};

// The network as a drift; null when it is none.
std::shared_ptr<const DriftNetwork> AsDrift(
    const std::shared_ptr<const signals::SignalNetwork>& network);

}  // namespace mentor::methods
