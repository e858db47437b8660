// A value network of its own for each of S stacked agents, beside their parameters: the extrinsic
// critic of gradient rules, and critics that an update is not differentiated through. Pure
// functions, generic in dtype and device; threads may share.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "learner/agents/agent_batch.h"
#include "learner/agents/agent_shape.h"
#include "learner/agents/param_layout.h"
#include "learner/agents/ppo_config.h"

namespace mentor::learner {

// A critic may see gamma and lambda behind the observation, through a linear map without bias that
// it learns (Xu, van Hasselt and Silver 2018, section 3;
// docs/algorithms/meta_gradient.md#what-the-critic-sees).
struct DiscountInput {
  int64_t embedding = 0;  // E numbers; 0: the critic sees the observation alone.
  double gamma = 0, lambda = 0;
};

// Parameters of the value network of AgentLayout: the last ones of an agent with a critic. With an
// embedding embed.W [E, 2] comes before them, and critic.W1 is [H, D + E].
ParamLayout CriticLayout(const AgentShape& shape, int64_t embedding = 0);
int64_t CriticSize(const AgentShape& shape, int64_t embedding = 0);

// [S, E]: what a critic with this theta [S, CriticSize] makes of gamma and lambda.
torch::Tensor EmbedDiscounts(const AgentShape& shape, const torch::Tensor& theta,
                             const DiscountInput& discounts);

// theta [S, CriticSize], observations [S, N, D] -> [S, N].
torch::Tensor CriticValues(const AgentShape& shape, const torch::Tensor& theta,
                           const torch::Tensor& observations, const DiscountInput& discounts = {});

// One step of config's optimizer on half the mean squared error for each of `minibatches`
// ([S, B] int64, DrawMinibatches); observations [S, T, D], returns [S, T].
AgentBatch FitCritic(const AgentShape& shape, const PpoConfig& config, AgentBatch critic,
                     const torch::Tensor& observations, const torch::Tensor& returns,
                     const std::vector<torch::Tensor>& minibatches,
                     const DiscountInput& discounts = {});

}  // namespace mentor::learner
