// Policy and value of S stacked agents as functions of (parameters, input): ppo.md sections 2
// and 3. Differentiable to any order, generic in dtype and device. Pure; threads may share.
#pragma once

#include <torch/types.h>

#include "learner/agents/param_layout.h"

namespace mentor::learner {

// in -> hidden -> tanh -> hidden -> tanh -> out.
struct Mlp {
  torch::Tensor w1, b1, w2, b2, w3, b3;  // [S, out, in] and [S, out]
};

struct AgentNetworks {
  Mlp policy;
  torch::Tensor log_std;  // [S, A]
  Mlp value;              // Undefined tensors without a critic.
};

// Views of theta [S, P].
AgentNetworks SplitAgents(const ParamLayout& layout, const torch::Tensor& theta);

// inputs [S, B, in] -> [S, B, out].
torch::Tensor Forward(const Mlp& mlp, const torch::Tensor& inputs);

// Log-density of unclipped actions [S, B, A] -> [S, B].
torch::Tensor LogProb(const torch::Tensor& mean, const torch::Tensor& log_std,
                      const torch::Tensor& actions);

// Entropy of the action distribution, independent of the observation: [S].
torch::Tensor Entropy(const torch::Tensor& log_std);

}  // namespace mentor::learner
