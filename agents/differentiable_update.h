// The update of S stacked agents as a function U(agents, advantages) -> agents whose result can be
// differentiated, any number of optimizer steps deep
// (methods/meta_gradient/README.md#the-update-as-a-function). Pure functions, generic in dtype and
// device; threads may share.
//
// U is K = epochs x minibatches steps of gradient descent, Adam or RMSProp on a PPO loss. The
// teacher reaches U through the advantages only. Rewards enter them linearly (gae.h), so one
// cotangent [S, T] leads on to the meta-parameters, and the teacher's own backward pass runs once.
//
// Two implementations with the same result:
//
// * unrolled: the graph of all K steps at once. About 4 K S B (D + 2 (sum of hidden units of both
//   networks) + heads) floats for activations, their gradients and the second backward graph, and
//   K S P (2 with gradient descent, 5 with Adam) for parameters.
// * replay: K steps without a graph that keep (theta, m, v) before each, 3 K S P floats, then
//   backwards one step after the other, each built again with its graph: the memory of one step
//   of the above, whatever K, for one more forward pass.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <vector>

#include <absl/status/statusor.h>

#include "agents/agent_shape.h"
#include "agents/minibatch_order.h"
#include "agents/ppo_config.h"

namespace mentor::agents {

struct UpdateConfig {
  // Loss, clipping, and Adam or gradient descent. Ignores epochs, minibatches, gamma, gae_lambda
  // and target_kl.
  PpoConfig ppo;
  // -mean(advantage ln pi) in place of the clipped ratio (A2C).
  bool policy_gradient = false;
  int64_t advantage_ddof = 1;  // Standard deviation with B - ddof.

  // Constants for differentiation. Through the second moment, a step from a zero state is a sign,
  // whose derivative nearly vanishes (methods/meta_gradient/README.md#numerical-traps, 1).
  bool stop_second_moment = true;
  bool stop_clip = false;    // The clipping factor.
  bool first_order = false;  // Gradients are taken at detached parameters: no Hessians (no_path).
  int64_t last_n = 0;        // Only the last n steps carry a graph; 0: all.

  // Forms of the published sources, for comparison.
  bool tensorflow_clip = false;     // g c / max(norm, c)
  bool tensorflow_epsilon = false;  // Adam's epsilon before bias correction.
  bool rms_prop = false;            // In place of ppo.adam.
  double rms_decay = 0.99;
};

enum class UpdateImplementation { kAuto, kUnrolled, kReplay };
// kAuto replays beyond this many steps.
inline constexpr int64_t kUnrolledStepsMax = 4;

// All inputs of U.
struct UpdateInputs {
  AgentBatch agents;           // Before.
  torch::Tensor observations;  // [S, T, D]
  torch::Tensor actions;       // [S, T, A]
  torch::Tensor log_probs;     // [S, T]: of the collecting policy
  torch::Tensor values;        // [S, T]: of the collecting critic; undefined without a critic
  torch::Tensor advantages;    // [S, T]: not standardised; value targets are advantages + values
  std::vector<torch::Tensor> minibatches;  // K of [S, B] int64: steps of the segment

  int64_t steps() const { return static_cast<int64_t>(minibatches.size()); }  // K
  // Agents first .. first + count. An agent's result does not depend on the others.
  UpdateInputs Agents(int64_t first, int64_t count) const;
};

// epochs x minibatches index tensors into a segment, by permutations of its steps. This and the
// steps below end with an error where the caller is interrupted (worker_pool.h).
absl::StatusOr<std::vector<torch::Tensor>> DrawMinibatches(const MinibatchOrder& order,
                                                           int64_t num_agents, int64_t steps,
                                                           int64_t epochs, int64_t minibatches);
// Rows [S, B] of x [S, T, ...].
torch::Tensor TakeRows(const torch::Tensor& x, const torch::Tensor& rows);

// Numbers [S, K] of each step, before it was made.
struct UpdateTrace {
  torch::Tensor loss, policy_loss, value_loss, entropy, approx_kl, clip_fraction, grad_norm;
};

struct UpdateOutputs {
  AgentBatch agents;  // After, detached.
  UpdateTrace trace;
};

// The K steps, without a graph.
absl::StatusOr<UpdateOutputs> RunUpdate(const AgentShape& shape, const UpdateConfig& config,
                                        const UpdateInputs& inputs);

// Loss of each agent [S] as a differentiable function of theta [S, P].
using AgentLoss = std::function<torch::Tensor(const torch::Tensor& theta)>;

struct UpdateGradient {
  UpdateOutputs after;
  torch::Tensor outer_loss;   // [S]: of theta afterwards
  torch::Tensor outer_theta;  // [S, P]: gradient of it there
  torch::Tensor advantages;   // [S, T]: gradient of outer_loss.sum() through U
  torch::Tensor theta;        // [S, P]: the same with respect to theta before
};

// U and the gradient of an outer loss of its result.
absl::StatusOr<UpdateGradient> DifferentiateUpdate(
    const AgentShape& shape, const UpdateConfig& config, const UpdateInputs& inputs,
    const AgentLoss& outer_loss, UpdateImplementation implementation = UpdateImplementation::kAuto);

// The same for any loss: K optimizer steps of `config` from `agents`, step k down the gradient of
// loss(theta, inputs, k). The loss is [S], differentiable in theta [S, P] and in the inputs, and a
// function of each agent's own theta.
using StepLoss = std::function<torch::Tensor(const torch::Tensor& theta,
                                             const std::vector<torch::Tensor>& inputs, int64_t k)>;
struct StepsGradient {
  AgentBatch after;                   // Detached.
  torch::Tensor outer_loss;           // [S]
  torch::Tensor outer_theta;          // [S, P]
  std::vector<torch::Tensor> inputs;  // Gradients of outer_loss.sum() through the steps,
  torch::Tensor theta;                // and by theta before.
  torch::Tensor grad_norm;            // [S, K], before clipping
};
absl::StatusOr<StepsGradient> DifferentiateSteps(
    const UpdateConfig& config, const AgentBatch& agents, int64_t steps, const StepLoss& loss,
    const std::vector<torch::Tensor>& inputs, const AgentLoss& outer_loss,
    UpdateImplementation implementation = UpdateImplementation::kAuto);

}  // namespace mentor::agents
