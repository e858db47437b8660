// Policy and value of S stacked agents as functions of (parameters, input):
// methods/ppo/README.md#networks. Differentiable to any order, generic in dtype and device. Pure;
// threads may share.
#pragma once

#include <torch/types.h>

#include <vector>

#include "agents/agent_shape.h"
#include "mentor/v1/rollout_service.pb.h"

namespace mentor::agents {

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

// The form that actors get: the policy part of each row of theta [S, P], any dtype and device.
std::vector<v1::PolicyWeights> ToPolicyWeights(const AgentShape& shape, const torch::Tensor& theta);

// Each row of `rows` [S, n], which holds what the network wants, in its order
// (rollout_service.proto).
std::vector<v1::PolicyWeights> ToPolicyWeights(const AgentShape& shape, v1::PolicyNetwork network,
                                               const torch::Tensor& rows);

}  // namespace mentor::agents
