// How the weights eta of the signal network move the task return
// (docs/algorithms/response_gradient.md#terms-of-the-gradient): directly, by conditioning the
// policy (term 11, which is equation 17), and through one policy step that eta conditioned (term
// 12) or whose reward it gave (term 13). Earlier rounds (term 14) are cut off. Functions of a
// log-density, so that any policy will do; generic in dtype and device. Gradients are of quantities
// to be maximised. Pure; threads may share.
#pragma once

#include <torch/types.h>

#include <functional>

namespace mentor::learner {

// Log-density [S, B] of a round's actions under weights theta [S, P] and eta [Qe].
using LogProbs = std::function<torch::Tensor(const torch::Tensor& theta, const torch::Tensor& eta)>;

struct Clipping {
  double range = 0.2;
  // mean clip(rho) A as printed, without the minimum with rho A
  // (docs/algorithms/response_gradient.md#reading-clip-with-minimum).
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

// What the validation round says.
struct DirectGradient {
  torch::Tensor eta;    // [Qe]: term 11, summed over the agents.
  torch::Tensor theta;  // [S, P]: u, what the task return wants of the policy's weights.
  Surrogate surrogate;  // Without a graph.
};
// advantages [S, B] as used. theta and eta without a graph.
DirectGradient ThroughPolicy(const LogProbs& log_probs, const torch::Tensor& theta,
                             const torch::Tensor& eta, const torch::Tensor& denominator,
                             const torch::Tensor& advantages, const Clipping& clipping);

// The policy step of terms 12 and 13: one of plain gradient ascent on all of theta.
struct PolicyStep {
  torch::Tensor log_probs;   // [S, B]: the denominator, under the collecting weights.
  torch::Tensor advantages;  // [S, B]: inner ones.
  bool standardise = true;   // Advantages; differentiated too.
  double length = 0.1;       // alpha
  double clip = 0.2;
};
// theta + alpha dJ_in/dtheta.
torch::Tensor AfterPolicyStep(const LogProbs& log_probs, const torch::Tensor& theta,
                              const torch::Tensor& eta, const PolicyStep& step);
struct StepGradient {
  torch::Tensor eta;         // [Qe]: term 12, summed over the agents.
  torch::Tensor advantages;  // [S, B]: to be carried on to the reward (GaeAdjoint), for term 13.
};
// The gradient of u^T theta1 with theta1 = AfterPolicyStep. The ratio, not its logarithm, is
// differentiated twice, which keeps the products of scores that the printed equations lack
// (docs/algorithms/response_gradient.md#reading-product-of-scores).
StepGradient ThroughPolicyStep(const LogProbs& log_probs, const torch::Tensor& theta,
                               const torch::Tensor& eta, const PolicyStep& step,
                               const torch::Tensor& u);

}  // namespace mentor::learner
