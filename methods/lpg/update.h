// Agents with a prediction y beside their policy, their update by the learned policy gradient, and
// the gradient of what K such updates did (methods/lpg/README.md#the-inner-update). The prediction
// is what their value network gives. Pure functions, generic in dtype; threads may share.
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
  agents::AgentShape agent;  // Discrete, with m value outputs: y.
  LpgSizes sizes;
  int64_t updates = 5;   // K
  double alpha_y = 0.5;  // Weight of KL(y || y_hat) in the agents' loss.
  // Weights of the outer loss's terms: entropy of policy and prediction, squares of pi_hat and
  // y_hat.
  double policy_entropy = 0.05, prediction_entropy = 1e-3, pi_hat_square = 5e-3,
         y_hat_square = 1e-3;
  agents::UpdateConfig update;  // The agents' optimizer and discount.
  // The task's reward, the sparse success signal or not, and its critic with the optimizer.
  bool success = false;
  double gamma_out = 0.99, lambda_out = 0.95;
  agents::PpoConfig critic;
};

// Fills in probs and y. next_observations [S, D].
void Predict(const LpgConfig& config, const torch::Tensor& theta,
             const torch::Tensor& next_observations, LpgSteps* steps);

// The agents' loss [S]: -mean(pi_hat ln pi) + alpha_y mean KL(y || y_hat).
torch::Tensor LpgLoss(const LpgConfig& config, const torch::Tensor& theta, const LpgSteps& steps,
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
absl::StatusOr<LpgGradient> Teach(const LpgConfig& config, const torch::Tensor& weights,
                                  const agents::AgentBatch& agents,
                                  const std::vector<LpgSteps>& path, const OuterRows& rows);

}  // namespace mentor::methods
