#include "methods/response_gradient/response_terms.h"

#include <torch/autograd.h>

#include "agents/differentiable_update.h"
#include "agents/row_statistics.h"
#include "common/check.h"

namespace mentor::methods {
namespace {

using torch::Tensor;

Tensor Leaf(const Tensor& x) {
  return x.detach().clone().requires_grad_(true);
}

// Zeros where y does not depend on x.
std::vector<Tensor> Gradients(const Tensor& y, const std::vector<Tensor>& x) {
  std::vector<Tensor> gradients =
      torch::autograd::grad({y}, x, /*grad_outputs=*/{}, /*retain_graph=*/std::nullopt,
                            /*create_graph=*/false, /*allow_unused=*/true);
  for (size_t i = 0; i < x.size(); ++i)
    if (!gradients[i].defined()) gradients[i] = torch::zeros_like(x[i]);
  return gradients;
}

}  // namespace

Surrogate ClippedSurrogate(const Tensor& log_probs, const Tensor& denominator,
                           const Tensor& advantages, const Clipping& clipping) {
  Surrogate surrogate;
  const Tensor ratio = (log_probs - denominator).exp();
  const Tensor clipped = ratio.clamp(1 - clipping.range, 1 + clipping.range) * advantages;
  surrogate.objective =
      agents::Mean(clipping.clip_only ? clipped : torch::minimum(ratio * advantages, clipped));
  surrogate.ratio = ratio.detach();
  const Tensor low = surrogate.ratio<1 - clipping.range, high = surrogate.ratio> 1 + clipping.range;
  const Tensor stopped = clipping.clip_only
                             ? low.logical_or(high)
                             : low.logical_and(advantages.detach() < 0)
                                   .logical_or(high.logical_and(advantages.detach() > 0));
  surrogate.active = 1 - agents::Mean(stopped.to(ratio.scalar_type()));
  return surrogate;
}

DirectGradient ThroughPolicy(const LogProbs& log_probs, const Tensor& theta, const Tensor& eta,
                             const Tensor& denominator, const Tensor& advantages,
                             const Clipping& clipping) {
  const torch::AutoGradMode with_gradients(true);
  const Tensor theta_leaf = Leaf(theta), eta_leaf = Leaf(eta);
  Surrogate surrogate =
      ClippedSurrogate(log_probs(theta_leaf, eta_leaf), denominator, advantages, clipping);
  const std::vector<Tensor> gradients =
      Gradients(surrogate.objective.sum(), {eta_leaf, theta_leaf});
  surrogate.objective = surrogate.objective.detach();
  return {.eta = gradients[0], .theta = gradients[1], .surrogate = surrogate};
}

Tensor PolicyLoss(const RowDensities& densities, const TakenRound& round, const Tensor& advantages,
                  const Tensor& rows) {
  Tensor objective =
      ClippedSurrogate(densities.log_probs, agents::TakeRows(round.log_probs, rows),
                       agents::TakeRows(advantages, rows), {.range = round.config.clip})
          .objective;
  if (round.config.entropy_coef != 0)
    objective = objective + round.config.entropy_coef * densities.entropy;
  return -objective;
}

absl::StatusOr<StepGradient> ThroughPolicyRound(const ActOnRows& act, const Tensor& eta,
                                                const TakenRound& round, const Tensor& u) {
  agents::UpdateConfig config;
  config.ppo = round.config;
  config.stop_second_moment = round.stop_second_moment;
  const agents::StepLoss loss = [&](const Tensor& theta, const std::vector<Tensor>& inputs,
                                    int64_t k) {
    const Tensor& rows = round.minibatches[k];
    const Tensor used = round.standardise ? agents::Standardised(inputs[1]) : inputs[1];
    return PolicyLoss(act(theta, inputs[0], rows), round, used, rows);
  };
  MENTOR_ASSIGN_OR_RETURN(const agents::StepsGradient steps,
                          agents::DifferentiateSteps(
                              config, round.agents, static_cast<int64_t>(round.minibatches.size()),
                              loss, {eta, round.advantages},
                              [&](const Tensor& theta) { return (u.detach() * theta).sum(1); }));
  return StepGradient{.eta = steps.inputs[0], .advantages = steps.inputs[1]};
}

}  // namespace mentor::methods
