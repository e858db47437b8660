// The step of the printed equations 12 and 13 (methods/response_gradient/README.md): one of plain
// gradient ascent on all of theta. The rule takes several of an optimizer in its place, so only
// tests have it.
#pragma once

#include <torch/autograd.h>

#include <vector>

#include "agents/row_statistics.h"
#include "methods/response_gradient/response_terms.h"

namespace mentor::agents {

struct PolicyStep {
  torch::Tensor log_probs;   // [S, B]: the denominator, under the collecting weights.
  torch::Tensor advantages;  // [S, B]: inner ones.
  bool standardise = true;   // Standardises the advantages; differentiated too.
  double length = 0.1;       // alpha
  double clip = 0.2;
};

// theta + alpha dJ_in/dtheta, with a graph back to theta, eta and advantages, which require
// gradients.
inline torch::Tensor StepWithGraph(const methods::LogProbs& log_probs, const torch::Tensor& theta,
                                   const torch::Tensor& eta, const torch::Tensor& advantages,
                                   const PolicyStep& step) {
  const torch::Tensor used = step.standardise ? Standardised(advantages) : advantages;
  // A sum over agents: each agent's objective depends on its own theta only.
  const torch::Tensor objective =
      methods::ClippedSurrogate(log_probs(theta, eta), step.log_probs, used, {.range = step.clip})
          .objective.sum();
  const torch::Tensor gradient =
      torch::autograd::grad({objective}, {theta}, {}, /*retain_graph=*/true,
                            /*create_graph=*/true)[0];
  return theta + step.length * gradient;
}

// The same without a graph.
inline torch::Tensor AfterPolicyStep(const methods::LogProbs& log_probs, const torch::Tensor& theta,
                                     const torch::Tensor& eta, const PolicyStep& step) {
  const torch::AutoGradMode with_gradients(true);
  const torch::Tensor leaf = theta.detach().clone().requires_grad_(true);
  return StepWithGraph(log_probs, leaf, eta, step.advantages, step).detach();
}

// The gradient of u^T theta1 with theta1 = AfterPolicyStep. Differentiating the ratio twice, not
// its logarithm, keeps the products of scores that the printed equations lack
// (methods/response_gradient/README.md#reading-product-of-scores).
inline methods::StepGradient ThroughPolicyStep(const methods::LogProbs& log_probs,
                                               const torch::Tensor& theta, const torch::Tensor& eta,
                                               const PolicyStep& step, const torch::Tensor& u) {
  const torch::AutoGradMode with_gradients(true);
  const auto leaf = [](const torch::Tensor& x) { return x.detach().clone().requires_grad_(true); };
  const torch::Tensor eta_leaf = leaf(eta), advantages = leaf(step.advantages);
  const torch::Tensor after = StepWithGraph(log_probs, leaf(theta), eta_leaf, advantages, step);
  std::vector<torch::Tensor> gradients = torch::autograd::grad(
      {(u.detach() * after).sum()}, {eta_leaf, advantages}, /*grad_outputs=*/{},
      /*retain_graph=*/std::nullopt, /*create_graph=*/false, /*allow_unused=*/true);
  if (!gradients[0].defined()) gradients[0] = torch::zeros_like(eta_leaf);
  if (!gradients[1].defined()) gradients[1] = torch::zeros_like(advantages);
  return {.eta = gradients[0], .advantages = gradients[1]};
}

}  // namespace mentor::agents
