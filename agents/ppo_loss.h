// The loss of one minibatch of S stacked agents as a pure differentiable function of theta
// (methods/ppo/README.md#the-update). Generic in dtype and device; threads may share.
#pragma once

#include <torch/types.h>

#include <functional>

#include "agents/param_layout.h"
#include "agents/ppo_config.h"

namespace mentor::agents {

struct Minibatch {
  torch::Tensor observations;  // [S, B, D]
  torch::Tensor actions;       // [S, B, A]
  torch::Tensor log_probs;     // [S, B]: under the collecting weights
  torch::Tensor advantages;    // [S, B]: not standardised
  torch::Tensor returns;       // [S, B]; undefined without a critic
  torch::Tensor values;        // [S, B]: before the update; read with clip_value_loss only
};

// Every term belongs to one agent: sums and means never cross agents.
struct LossTerms {
  torch::Tensor mean;         // [S, B, A]
  torch::Tensor log_probs;    // [S, B]
  torch::Tensor ratio;        // [S, B]
  torch::Tensor advantages;   // [S, B]: as used
  torch::Tensor values;       // [S, B]; undefined without a critic
  torch::Tensor entropy;      // [S]
  torch::Tensor policy_loss;  // [S]
  // [S]: with its factor 0.5, without value_coef; undefined without a critic.
  torch::Tensor value_loss;
  torch::Tensor approx_kl;      // [S]: see ApproxKl; without a graph
  torch::Tensor clip_fraction;  // [S]
  torch::Tensor loss;           // [S]
};

// A policy's loss of each step, [S, B], in place of that of the clipped ratio. log_ratio is the
// logarithm of the ratio, advantages are as used; both [S, B]. Must be differentiable in log_ratio,
// and keep agents apart.
using PolicyLoss =
    std::function<torch::Tensor(const torch::Tensor& log_ratio, const torch::Tensor& advantages)>;

// policy_loss: null for PPO's.
LossTerms PpoLoss(const ParamLayout& layout, const torch::Tensor& theta, const Minibatch& batch,
                  const PpoConfig& config, const PolicyLoss& policy_loss = nullptr);

}  // namespace mentor::agents
