// One minibatch of LIRPG as its authors released it (methods/lirpg/README.md#a-minibatch). The
// agents take one optimizer step on the mixed reward. What that step did for the task is
// differentiated back to the reward network. By LibTorch, for any agents and reward networks;
// kernels.h is faster where it can be used. Pure functions in float or double; threads may share.
#pragma once

#include <torch/types.h>

#include <functional>

#include "agents/agent_shape.h"
#include "agents/differentiable_update.h"
#include "agents/ppo_config.h"
#include "methods/shared/outer_objective.h"

namespace mentor::methods {

// A segment of S agents and T steps. Everything but the reward network's weights is a constant.
struct LirpgSegment {
  // log_probs, values (of the mixed reward) and observations as the agents saw them; no agents,
  // advantages or minibatches.
  agents::UpdateInputs inputs;
  torch::Tensor task_rewards;            // [S, T] float64: c_ex r_ex, as the agents earn it
  torch::Tensor prev_done;               // [S, T]
  torch::Tensor last_done, last_values;  // [S]
  torch::Tensor task_values;             // [S, T]: of the task's critic when it was collected
  torch::Tensor task_advantages;         // [S, T]: GAE of r_ex alone, not standardised
};

struct LirpgConfig {
  agents::UpdateConfig update;  // The agents' step.
  double c_in = 1;              // Weight of the learned reward.
  OuterConfig outer;            // What is differentiated: -J. value_coef is unused.
  double value_clip = 0;  // Range in which the task's critic may leave its old values; 0: any.
  double value_coef = 0.5;
};

// Rewards [S, T] of a segment, with a graph back to weights [Q].
using LearnedRewards = std::function<torch::Tensor(const torch::Tensor& weights)>;

struct LirpgGradient {
  agents::AgentBatch agents;  // After the step; before it where that is not finite.
  agents::UpdateTrace trace;  // [S, 1]
  torch::Tensor weights;      // [Q]: dJ/dphi, to be minimised; the mean over the agents.
  torch::Tensor critics;      // [S, C]: of value_coef times the task critics' loss.
  OuterStatistics outer;
  torch::Tensor outer_loss;  // [S]
  int64_t left_out = 0;      // Agents whose numbers are not finite.
};

// `rows` [S, B]: the minibatch's steps, for both losses. critics: theta [S, C] of the task's
// critics (critic.h). An agent whose numbers are not finite gives no gradient.
absl::StatusOr<LirpgGradient> LirpgStep(const agents::AgentShape& shape, const LirpgConfig& config,
                                        const LirpgSegment& segment,
                                        const agents::AgentBatch& agents,
                                        const LearnedRewards& rewards, const torch::Tensor& weights,
                                        const torch::Tensor& critics, const torch::Tensor& rows);

// The advantages [S, T] that agents learn from when they earn `learned` [S, T] too.
torch::Tensor MixedAdvantages(const LirpgConfig& config, const LirpgSegment& segment,
                              const torch::Tensor& learned);

// One Adam step of the weights and the critics together: the norm over both is clipped to
// max_grad_norm, where the critics count by their mean over the agents. `hat`: epsilon is added
// before the correction of bias, and the norm is clipped, as TensorFlow does. Returns false where a
// gradient is not finite; then both stay as they are.
bool StepTogether(const agents::PpoConfig& config, bool hat, const LirpgGradient& gradient,
                  agents::AgentBatch* weights, agents::AgentBatch* critics);

}  // namespace mentor::methods
