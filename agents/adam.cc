#include "agents/adam.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

namespace mentor::agents {

AgentBatch ChooseAgents(const torch::Tensor& mask, const AgentBatch& yes, const AgentBatch& no) {
  const torch::Tensor rows = mask.unsqueeze(1);
  return {torch::where(rows, yes.theta, no.theta), torch::where(rows, yes.adam_m, no.adam_m),
          torch::where(rows, yes.adam_v, no.adam_v),
          torch::where(mask, yes.adam_steps, no.adam_steps)};
}

torch::Tensor IsFinite(const AgentBatch& agents) {
  return agents.theta.isfinite()
      .all(1)
      .logical_and(agents.adam_m.isfinite().all(1))
      .logical_and(agents.adam_v.isfinite().all(1));
}

torch::Tensor GradNorm(const torch::Tensor& grad) {
  return grad.square().sum(1).sqrt();
}

torch::Tensor ClipScale(const torch::Tensor& grad_norm, const PpoConfig& config) {
  if (!config.max_grad_norm) return torch::ones_like(grad_norm);
  return (*config.max_grad_norm / (grad_norm + 1e-6)).clamp_max(1);
}

AgentBatch OptimizerStep(const AgentBatch& agents, const torch::Tensor& grad,
                         const PpoConfig& config) {
  AgentBatch next = agents;
  next.adam_steps = agents.adam_steps + 1;
  if (!config.adam) {
    next.theta = agents.theta - config.learning_rate * grad;
    return next;
  }
  next.adam_m = config.adam_beta1 * agents.adam_m + (1 - config.adam_beta1) * grad;
  next.adam_v = config.adam_beta2 * agents.adam_v + (1 - config.adam_beta2) * grad.square();
  const torch::Tensor k = next.adam_steps.to(torch::kFloat64).unsqueeze(1);
  const torch::Dtype dtype = grad.scalar_type();
  const torch::Tensor rate =
      (config.learning_rate / (1 - torch::pow(config.adam_beta1, k))).to(dtype);
  const torch::Tensor root = (1 - torch::pow(config.adam_beta2, k)).rsqrt().to(dtype);
  next.theta =
      agents.theta - rate * next.adam_m / (next.adam_v.sqrt() * root + config.adam_epsilon);
  return next;
}

AgentBatch ClippedStep(const AgentBatch& agents, const torch::Tensor& grad,
                       const PpoConfig& config) {
  return OptimizerStep(agents, grad * ClipScale(GradNorm(grad), config).unsqueeze(1), config);
}

AgentBatch Descend(const AgentBatch& agents, const PpoConfig& config,
                   const std::function<torch::Tensor(const torch::Tensor& theta)>& loss) {
  torch::Tensor grad;
  {
    const c10::AutoGradMode gradients(true);
    const torch::Tensor theta = agents.theta.detach().requires_grad_(true);
    // The sum keeps agents independent.
    grad = torch::autograd::grad({loss(theta).sum()}, {theta})[0];
  }
  return ClippedStep(agents, grad, config);
}

}  // namespace mentor::agents
