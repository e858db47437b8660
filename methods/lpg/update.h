// Agents with a prediction y beside their policy, their update by the learned policy gradient, and
// the gradient of what K such updates did (methods/lpg/README.md#the-inner-update). Pure functions,
// generic in dtype; threads may share.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include <absl/status/statusor.h>

#include "agents/agent_shape.h"
#include "agents/differentiable_update.h"
#include "methods/lpg/network.h"
#include "methods/shared/outer_objective.h"

namespace mentor::methods {

struct LpgConfig {
  LpgSizes sizes;
  int64_t updates = 5;   // K
  int64_t unroll = 20;   // W: steps that the network reads at once
  double alpha_y = 0.5;  // Weight of KL(y || y_hat) in the agents' loss.
  // Weights of the outer loss's terms: entropy of policy and prediction, squares of pi_hat and
  // y_hat.
  double policy_entropy = 0.05, prediction_entropy = 1e-3, pi_hat_square = 5e-3,
         y_hat_square = 1e-3;
  double gamma = 0.99;          // The agents'.
  agents::UpdateConfig update;  // Their optimizer.
};

// actor.W1 .. b3, then y.W1 .. b3; `shape` has no critic and discrete actions.
agents::ParamLayout LpgAgentLayout(const agents::AgentShape& shape, int64_t predictions);

// What S agents met in the segment of one update.
struct LpgSteps {
  torch::Tensor observations;  // [S, T, D]
  torch::Tensor actions;       // [S, T, A]
  torch::Tensor rewards;       // [S, T]
  torch::Tensor dones;         // [S, T]
  // By theta before the update: constants in every derivative
  // (methods/lpg/README.md#reading-lpg-constants).
  torch::Tensor probs;  // [S, T]
  torch::Tensor y;      // [S, T + 1, m]

  LpgSteps Agents(int64_t first, int64_t count) const;
};

// Fills in probs and y. next_observations [S, D].
void Predict(const agents::ParamLayout& layout, const torch::Tensor& theta,
             const torch::Tensor& next_observations, LpgSteps* steps);

// [S, T] and [S, T, m] of the pieces of the segment; W divides T.
LpgOutputs Ask(const LpgConfig& config, const LpgNetwork& network, const torch::Tensor& weights,
               const LpgSteps& steps);

// The agents' loss [S]: -mean(pi_hat ln pi) + alpha_y mean KL(y || y_hat).
torch::Tensor LpgLoss(const LpgConfig& config, const agents::ParamLayout& layout,
                      const torch::Tensor& theta, const LpgSteps& steps, const LpgOutputs& outputs);

// The agents after one step of the optimizer on all steps of the segment.
agents::AgentBatch LpgUpdate(const LpgConfig& config, const agents::ParamLayout& layout,
                             const agents::AgentBatch& agents, const LpgSteps& steps,
                             const LpgOutputs& outputs);

struct LpgGradient {
  agents::StepsGradient steps;
  torch::Tensor policy_loss;                         // [S]: -mean(A ln pi) of the updated agents
  torch::Tensor policy_entropy, prediction_entropy;  // [S]: theirs
  torch::Tensor weights;  // [Q] float64: of the outer loss, summed over the agents
  torch::Tensor finite;   // [S]: false for agents that were left out
};

// K = path.size() updates from `agents`, and the gradient of the outer loss on `rows`, which the
// updated agents collected. Standardises the advantages of `rows`.
absl::StatusOr<LpgGradient> Teach(const LpgConfig& config, const LpgNetwork& network,
                                  const agents::ParamLayout& layout, const torch::Tensor& weights,
                                  const agents::AgentBatch& agents,
                                  const std::vector<LpgSteps>& path, const OuterRows& rows);

}  // namespace mentor::methods
