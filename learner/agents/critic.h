// A value network of its own for each of S stacked agents, beside their parameters: the extrinsic
// critic of gradient rules, and critics that an update is not differentiated through. Pure
// functions, generic in dtype and device; threads may share.
#pragma once

#include <torch/types.h>

#include <vector>

#include "learner/agents/agent_batch.h"
#include "learner/agents/agent_shape.h"
#include "learner/agents/ppo_config.h"

namespace mentor::learner {

// Parameters of the value network of AgentLayout: the last ones of an agent with a critic.
int64_t CriticSize(const AgentShape& shape);

// theta [S, CriticSize], observations [S, N, D] -> [S, N].
torch::Tensor CriticValues(const AgentShape& shape, const torch::Tensor& theta,
                           const torch::Tensor& observations);

// One step of config's optimizer on half the mean squared error for each of `minibatches`
// ([S, B] int64, DrawMinibatches); observations [S, T, D], returns [S, T].
AgentBatch FitCritic(const AgentShape& shape, const PpoConfig& config, AgentBatch critic,
                     const torch::Tensor& observations, const torch::Tensor& returns,
                     const std::vector<torch::Tensor>& minibatches);

}  // namespace mentor::learner
