// Policy and value of S stacked agents as functions of (parameters, input):
// methods/ppo/README.md#networks. Differentiable to any order, generic in dtype and device. Pure;
// threads may share.
#pragma once

#include <torch/types.h>

#include "agents/param_layout.h"

namespace mentor::learner {

// in -> hidden -> tanh -> hidden -> tanh -> out.
struct Mlp {
  torch::Tensor w1, b1, w2, b2, w3, b3;  // [S, out, in] and [S, out]
};

struct AgentNetworks {
  Mlp policy;
  torch::Tensor log_std;  // [S, A]; undefined for discrete actions.
  Mlp value;              // Undefined tensors without a critic.
};

// Views of theta [S, P].
AgentNetworks SplitAgents(const ParamLayout& layout, const torch::Tensor& theta);

// inputs [S, B, in], weights [S, out, in], bias [S, out] -> [S, B, out].
torch::Tensor Affine(const torch::Tensor& inputs, const torch::Tensor& weights,
                     const torch::Tensor& bias);

// inputs [S, B, in] -> [S, B, out].
torch::Tensor Forward(const Mlp& mlp, const torch::Tensor& inputs);

// Log-density of actions [S, B, A] -> [S, B]. Actions are unclipped ones of the Gaussian with this
// mean and log std; with log_std undefined, one-hot choices among these logits.
torch::Tensor LogProb(const torch::Tensor& output, const torch::Tensor& log_std,
                      const torch::Tensor& actions);

// Entropy of the action distribution, mean over the rows of output [S, B, A]: [S].
torch::Tensor Entropy(const torch::Tensor& output, const torch::Tensor& log_std);

}  // namespace mentor::learner
