// Constants of one PPO update (methods/ppo/README.md#defaults). A value; threads may share.
#pragma once

#include <cstdint>
#include <optional>

#include <absl/status/status.h>

#include "kernels/optimizer.h"
#include "kernels/ppo_terms.h"

namespace mentor::v1 {
class AgentSpec;
}  // namespace mentor::v1

namespace mentor::agents {

struct PpoConfig {
  int64_t epochs = 64;
  int64_t minibatches = 16;
  double gamma = 0.99;
  double gae_lambda = 0.95;
  double clip = 0.2;
  std::optional<kernels::Drift> drift = std::nullopt;  // DPO's, in place of the clip of the ratio.
  double value_coef = 0.5;
  double entropy_coef = 0.0;
  std::optional<double> max_grad_norm = 0.5;  // Unset: no clipping.
  bool adam = true;                           // Otherwise plain gradient descent.
  double learning_rate = 3e-4;                // In this update, after annealing.
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.999;
  double adam_epsilon = 1e-5;
  bool normalize_advantage = true;
  double advantage_epsilon = 1e-8;
  bool clip_value_loss = false;
  std::optional<double> target_kl = std::nullopt;  // Unset: an update never stops early.
  bool bootstrap_on_truncation = false;            // Needs Segment::truncated.

  kernels::AdamConfig Adam() const { return {learning_rate, adam_beta1, adam_beta2, adam_epsilon}; }
  kernels::Surrogate Surrogate() const {
    return {clip, drift.has_value(), drift.value_or(kernels::Drift())};
  }
};

// `update` counts from 1 to num_updates = inner iterations - 1; only annealing reads it.
PpoConfig PpoConfigFromSpec(const v1::AgentSpec& spec, int64_t update, int64_t num_updates);

// Steps of a minibatch; the last minibatch takes the rest.
inline int64_t MinibatchSteps(int64_t steps, int64_t minibatches) {
  return steps / minibatches;
}
// INVALID_ARGUMENT when T steps cannot be cut into these minibatches. There are fewer steps than
// minibatches, or, with standardised advantages, a minibatch has a single step and no standard
// deviation.
absl::Status CheckMinibatches(int64_t minibatches, bool normalize_advantage, int64_t steps);

}  // namespace mentor::agents
