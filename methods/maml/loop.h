// How MAML's agents learn (methods/maml/README.md#maml). For the inner loop "adaptation", and for
// its outer rule, which adapts the same agents again. Pure functions; threads may share.
//
// The meta-parameters are [P + 1] numbers: the policy's initial weights, then m, the mean
// adaptation reward of the last lifetimes. The agents' baseline needs m, and only the rule knows
// it.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "agents/segment.h"
#include "common/options.h"
#include "mentor/v1/shard_service.pb.h"
#include "methods/shared/state_std_policy.h"

namespace mentor::methods {

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

struct AdaptationConfig {
  StateStdPolicy::Shape policy;
  int64_t steps = 2;            // K: iterations that a step follows.
  double learning_rate = 0.07;  // Step size of plain gradient descent.
  double gamma = 0.995;
  bool shaped = false;  // Learns from the shaped reward; otherwise from the success signal.
};

AdaptationConfig ReadAdaptation(const OptionValues& options, const v1::EnvironmentShape& shape);
void CheckAdaptation(const AdaptationConfig& config, const v1::ExperimentSpec& spec,
                     Violations* violations);

// Numbers of a forward pass through the policy with its graph, for one step.
int64_t GraphNumbersPerStep(const StateStdPolicy::Shape& policy);

// The rewards that agents learn from: [S, T].
torch::Tensor AdaptationRewards(const AdaptationConfig& config, const agents::Segment& segment);

// The data that agent `agent` learns from in its steps begin .. begin + num_steps - 1, one inner
// iteration. The dtype is that of the observations.
PolicyGradientData AdaptationData(const AdaptationConfig& config, const agents::Segment& segment,
                                  int64_t agent, int64_t begin, int64_t num_steps,
                                  double mean_reward);

// Returns weights [P] after one adaptation step, or the weights themselves when the step is not
// finite.
torch::Tensor Adapt(const AdaptationConfig& config, const StateStdPolicy& policy,
                    const torch::Tensor& weights, const PolicyGradientData& data);

}  // namespace mentor::methods
