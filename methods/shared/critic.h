// A separate value network for each of S stacked agents, beside their parameters: the extrinsic
// critic of gradient rules, and critics that an update is not differentiated through. Pure
// functions, generic in dtype and device; threads may share.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "agents/agent_shape.h"
#include "agents/gae.h"
#include "agents/param_layout.h"
#include "agents/ppo_config.h"
#include "agents/segment.h"
#include "common/options.h"
#include "signals/signal_network.h"

namespace mentor::methods {

// critic_learning_rate (with this help), critic_epochs and critic_minibatches of FitCritic.
BoundOptions<agents::PpoConfig> CriticOptions(const std::string& help);
// Adds a violation where an inner iteration has too few steps for the minibatches.
void CheckCritic(const agents::PpoConfig& config, int64_t steps, Violations* violations);

// Parameters of the value network of AgentLayout: the last ones of an agent with a critic. With an
// embedding embed.W [E, 2] comes before them, and critic.W1 is [H, D + E].
agents::ParamLayout CriticLayout(const agents::AgentShape& shape, int64_t embedding = 0);
int64_t CriticSize(const agents::AgentShape& shape, int64_t embedding = 0);

// [S, E]: the embedding of gamma and lambda by critics with this theta [S, CriticSize].
torch::Tensor EmbedDiscounts(const agents::AgentShape& shape, const torch::Tensor& theta,
                             const signals::DiscountInput& discounts);

// theta [S, CriticSize], observations [S, N, D] -> [S, N].
torch::Tensor CriticValues(const agents::AgentShape& shape, const torch::Tensor& theta,
                           const torch::Tensor& observations,
                           const signals::DiscountInput& discounts = {});

// Fills in a segment's values by a critic, [S, N, D] -> [S, N], which sees it as in `normal`.
void AddValues(const std::function<torch::Tensor(const torch::Tensor&)>& critic,
               const agents::Segment& normal, agents::Segment* segment);

// Generalised advantages (gae.h) of rewards [S, T] in a segment with values.
agents::Advantages AdvantagesOf(const torch::Tensor& rewards, const agents::Segment& segment,
                                double gamma, double lambda);

// For each of `minibatches` ([S, B] int64, DrawMinibatches), makes one step of config's optimizer
// on half the mean squared error. observations [S, T, D], returns [S, T]. CANCELLED between two
// steps (CallerScope).
absl::StatusOr<agents::AgentBatch> FitCritic(
    const agents::AgentShape& shape, const agents::PpoConfig& config, agents::AgentBatch critic,
    const torch::Tensor& observations, const torch::Tensor& returns,
    const std::vector<torch::Tensor>& minibatches, const signals::DiscountInput& discounts = {});

}  // namespace mentor::methods
