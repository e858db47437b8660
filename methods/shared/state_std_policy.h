// The policy that MAML learns (methods/maml/README.md#maml): its std depends on the
// observation. A function of one agent's (weights, observations): differentiable to any order,
// generic in dtype. Immutable; threads may share.
//
//   mean    : D -> H -> tanh -> H -> tanh -> A     discrete: logits of A choices
//   log std : D -> H -> tanh -> 1                  continuous only: one number for all of an action
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "agents/param_layout.h"
#include "common/rng.h"
#include "mentor/v1/rollout_service.pb.h"

namespace mentor::methods {

// The distribution of actions for B observations.
struct ActionDistribution {
  torch::Tensor output;   // [B, A]: means, or logits
  torch::Tensor log_std;  // [B, 1]; undefined for discrete actions
};

class StateStdPolicy {
 public:
  struct Shape {
    int64_t observation_size = 0;  // D
    int64_t action_size = 0;       // A
    int64_t hidden_units = 128;    // H
    bool discrete = false;         // Actions are one of A choices, one-hot.
  };
  explicit StateStdPolicy(const Shape& shape);

  // actor.W1 b1 W2 b2 W3 b3, then logstd.W1 b1 W2 b2. Weights are [out, in].
  const agents::ParamLayout& layout() const { return layout_; }
  // [P] float32: orthogonal with gain sqrt(2), 0.01 in both output layers; biases 0. Tensor number
  // = its index in the layout.
  torch::Tensor InitialWeights(const RandomStream& stream) const;
  // weights [P], observations [B, D].
  ActionDistribution Forward(const torch::Tensor& weights, const torch::Tensor& observations) const;
  // The form that actors get.
  v1::PolicyWeights ToProto(const torch::Tensor& weights) const;

 private:
  const Shape shape_;
  const agents::ParamLayout layout_;
};

// Log-density of unclipped actions, or log-probability of one-hot ones, [B, A] -> [B].
torch::Tensor LogProb(const ActionDistribution& distribution, const torch::Tensor& actions);

// KL(p || q): mean over observations, and over the numbers of a Gaussian's action. A scalar.
torch::Tensor MeanKl(const ActionDistribution& p, const ActionDistribution& q);

}  // namespace mentor::methods
