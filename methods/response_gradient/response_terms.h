// How the weights eta of the signal network move the task return
// (methods/response_gradient/README.md#terms-of-the-gradient). Term 11, which is equation 17, acts
// directly, by conditioning the policy. Terms 12 and 13 act through the policy round that eta
// conditioned, or whose reward it gave. Earlier rounds (term 14) are cut off. Functions of a
// log-density, so any policy will do; generic in dtype and device. Gradients are of quantities to
// be maximised. Pure; threads may share.
#pragma once

#include <torch/types.h>

#include <functional>
#include <vector>

#include "agents/agent_shape.h"
#include "agents/ppo_config.h"

namespace mentor::methods {

// Log-density [S, B] of a round's actions under weights theta [S, P] and eta [Qe].
using LogProbs = std::function<torch::Tensor(const torch::Tensor& theta, const torch::Tensor& eta)>;

struct Clipping {
  double range = 0.2;
  // mean clip(rho) A as printed, without the minimum with rho A
  // (methods/response_gradient/README.md#reading-clip-with-minimum).
  bool clip_only = false;
};

// mean min(rho A, clip(rho) A), rho = exp(log_probs - denominator): equations 23 and 24.
struct Surrogate {
  torch::Tensor objective;  // [S]
  torch::Tensor ratio;      // [S, B]
  torch::Tensor active;     // [S]: share of the rows that have a gradient.
};
Surrogate ClippedSurrogate(const torch::Tensor& log_probs, const torch::Tensor& denominator,
                           const torch::Tensor& advantages, const Clipping& clipping);

// Gradients of the validation round.
struct DirectGradient {
  torch::Tensor eta;    // [Qe]: term 11, summed over the agents.
  torch::Tensor theta;  // [S, P]: u, the gradient of the task return by the policy's weights.
  Surrogate surrogate;  // Without a graph.
};
// advantages [S, B] are used as they are. theta and eta have no graph.
DirectGradient ThroughPolicy(const LogProbs& log_probs, const torch::Tensor& theta,
                             const torch::Tensor& eta, const torch::Tensor& denominator,
                             const torch::Tensor& advantages, const Clipping& clipping);

// The policy round of terms 12 and 13 as the agents took it: optimizer steps on minibatches.
struct TakenRound {
  agents::AgentBatch agents = {};  // Before the round.
  torch::Tensor log_probs = {};    // [S, T]: the denominator, under the collecting weights.
  torch::Tensor advantages = {};   // [S, T]: inner ones, raw.
  bool standardise = true;         // Standardises them over all T rows; differentiated too.
  agents::PpoConfig config = {};   // Optimizer, clip range, greatest norm, entropy_coef.
  std::vector<torch::Tensor> minibatches = {};  // Each [S, B]
  // Adam's second moment is a constant (methods/meta_gradient/README.md#numerical-traps, 1).
  bool stop_second_moment = true;
};
// Log-densities [S, B] of these rows of the round and the policy's mean entropy [S] there.
struct RowDensities {
  torch::Tensor log_probs, entropy;
};
using ActOnRows = std::function<RowDensities(const torch::Tensor& theta, const torch::Tensor& eta,
                                             const torch::Tensor& rows)>;
// The loss [S] of a policy step, to be minimised: equation 23 with the entropy's bonus.
// `advantages` [S, T] as used.
torch::Tensor PolicyLoss(const RowDensities& densities, const TakenRound& round,
                         const torch::Tensor& advantages, const torch::Tensor& rows);
// See ThroughPolicyRound.
struct StepGradient {
  torch::Tensor eta;         // [Qe]: term 12, summed over the agents.
  torch::Tensor advantages;  // [S, T]: for term 13, to be carried on to the reward (GaeAdjoint).
};
// The gradient of u^T theta_{k+1}, theta_{k+1} being the agents after the round.
absl::StatusOr<StepGradient> ThroughPolicyRound(const ActOnRows& act, const torch::Tensor& eta,
                                                const TakenRound& round, const torch::Tensor& u);

}  // namespace mentor::methods
