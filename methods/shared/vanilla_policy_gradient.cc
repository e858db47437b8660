#include "methods/shared/vanilla_policy_gradient.h"

#include <torch/csrc/autograd/autograd.h>

namespace mentor::learner {
namespace {

constexpr double kDeviationFloor = 1e-8;

}  // namespace

MonteCarlo MonteCarloAdvantages(const torch::Tensor& rewards, const torch::Tensor& prev_done,
                                double gamma, double mean_reward) {
  const int64_t steps = rewards.numel();
  const torch::Tensor r = rewards.to(torch::kCPU, torch::kFloat64).contiguous(),
                      done = prev_done.to(torch::kCPU, torch::kFloat64).contiguous();
  MonteCarlo result{torch::empty_like(r), torch::empty_like(r), {}};
  const double *reward = r.const_data_ptr<double>(), *starts = done.const_data_ptr<double>();
  double *returns = result.returns.mutable_data_ptr<double>(),
         *baseline = result.baseline.mutable_data_ptr<double>();
  double next_return = 0, next_baseline = 0;
  for (int64_t t = steps - 1; t >= 0; --t) {
    const double go_on = t + 1 < steps ? gamma * (1 - starts[t + 1]) : 0;
    returns[t] = next_return = reward[t] + go_on * next_return;
    baseline[t] = next_baseline = mean_reward + go_on * next_baseline;
  }
  const torch::Tensor difference = result.returns - result.baseline;
  result.advantages =
      (difference - difference.mean()) / (difference.std(/*unbiased=*/true) + kDeviationFloor);
  return result;
}

torch::Tensor PolicyGradientLoss(const StateStdPolicy& policy, const torch::Tensor& weights,
                                 const PolicyGradientData& data) {
  const torch::Tensor log_probs = LogProb(policy.Forward(weights, data.observations), data.actions);
  if (!data.old_log_probs.defined()) return -(log_probs * data.advantages).mean();
  return -((log_probs - data.old_log_probs).exp() * data.advantages).mean();
}

torch::Tensor GradientStep(const StateStdPolicy& policy, const torch::Tensor& weights,
                           const PolicyGradientData& data, double learning_rate) {
  const bool differentiable = weights.requires_grad();
  const c10::AutoGradMode gradients_on(true);
  const torch::Tensor at = differentiable ? weights : weights.detach().clone().requires_grad_();
  const torch::Tensor gradient =
      torch::autograd::grad({PolicyGradientLoss(policy, at, data)}, {at}, /*grad_outputs=*/{},
                            /*retain_graph=*/differentiable, /*create_graph=*/differentiable)[0];
  if (differentiable) return at - learning_rate * gradient;
  return (at - learning_rate * gradient).detach();
}

}  // namespace mentor::learner
