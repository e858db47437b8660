// Gradient clipping, Adam and gradient descent of S stacked agents as pure differentiable functions
// (methods/ppo/README.md#the-update). Generic in dtype and device; threads may share.
#pragma once

#include <torch/types.h>

#include <functional>

#include "agents/agent_shape.h"
#include "agents/ppo_config.h"

namespace mentor::agents {

// Agents of `yes` where mask [S] is true, else of `no`.
AgentBatch ChooseAgents(const torch::Tensor& mask, const AgentBatch& yes, const AgentBatch& no);

// [S]: true where parameters and moments are finite.
torch::Tensor IsFinite(const AgentBatch& agents);

// Norm over all parameters of each agent: [S].
torch::Tensor GradNorm(const torch::Tensor& grad);

// min(1, max_grad_norm / (norm + 1e-6)) per agent [S]; ones without clipping.
torch::Tensor ClipScale(const torch::Tensor& grad_norm, const PpoConfig& config);

// One step with the clipped gradient [S, P], of Adam or, with !config.adam, plain gradient descent.
AgentBatch OptimizerStep(const AgentBatch& agents, const torch::Tensor& grad,
                         const PpoConfig& config);
// The same after clipping each agent's gradient.
AgentBatch ClippedStep(const AgentBatch& agents, const torch::Tensor& grad,
                       const PpoConfig& config);
// The same down the gradient of a loss [S] of theta [S, P].
AgentBatch Descend(const AgentBatch& agents, const PpoConfig& config,
                   const std::function<torch::Tensor(const torch::Tensor& theta)>& loss);

}  // namespace mentor::agents
