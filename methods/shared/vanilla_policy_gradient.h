// The plain policy gradient with Monte Carlo returns, which adapts an agent of MAML
// (methods/maml/README.md#maml). For one agent and T steps. Pure functions, generic in dtype;
// threads may share.
#pragma once

#include <torch/types.h>

#include "methods/shared/state_std_policy.h"

namespace mentor::learner {

struct MonteCarlo {
  torch::Tensor returns;     // [T] float64: G_t = r_t + gamma (1 - prev_done_{t+1}) G_{t+1}
  torch::Tensor baseline;    // [T] float64: the returns if every step gave mean_reward
  torch::Tensor advantages;  // [T] float64: returns - baseline, standardised
};

// rewards and prev_done are [T]. Nothing follows the last step, and the end of an episode cuts the
// sums. The std is unbiased, with 1e-8 added.
MonteCarlo MonteCarloAdvantages(const torch::Tensor& rewards, const torch::Tensor& prev_done,
                                double gamma, double mean_reward);

struct PolicyGradientData {
  torch::Tensor observations;   // [T, D]
  torch::Tensor actions;        // [T, A]
  torch::Tensor advantages;     // [T]
  torch::Tensor old_log_probs;  // [T]: under the weights that acted; undefined for the plain loss
};

// -mean(log p(a|o) A), or -mean(rho A) with rho = p / old p. Both have the same gradient at the
// weights that acted. Only the ratio's second derivative knows that the data depend on the weights
// (methods/maml/README.md#reading-ratio-in-the-adaptation).
torch::Tensor PolicyGradientLoss(const StateStdPolicy& policy, const torch::Tensor& weights,
                                 const PolicyGradientData& data);

// Returns weights [P] after one step of plain gradient descent. Differentiable in the weights when
// they require gradients, detached otherwise.
torch::Tensor GradientStep(const StateStdPolicy& policy, const torch::Tensor& weights,
                           const PolicyGradientData& data, double learning_rate);

}  // namespace mentor::learner
