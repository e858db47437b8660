#include "learner/agents/critic.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include "learner/agents/adam.h"
#include "learner/agents/policy.h"

namespace mentor::learner {
namespace {

ParamLayout CriticLayout(const AgentShape& shape) {
  const int64_t d = shape.observation_size, h = shape.hidden_units;
  return ParamLayout({{"critic.W1", {h, d}},
                      {"critic.b1", {h}},
                      {"critic.W2", {h, h}},
                      {"critic.b2", {h}},
                      {"critic.W3", {1, h}},
                      {"critic.b3", {1}}});
}

}  // namespace

int64_t CriticSize(const AgentShape& shape) {
  return CriticLayout(shape).size();
}

torch::Tensor CriticValues(const AgentShape& shape, const torch::Tensor& theta,
                           const torch::Tensor& observations) {
  const std::vector<torch::Tensor> p = CriticLayout(shape).Split(theta);
  return Forward({p[0], p[1], p[2], p[3], p[4], p[5]}, observations).squeeze(-1);
}

AgentBatch FitCritic(const AgentShape& shape, const PpoConfig& config, AgentBatch critic,
                     const torch::Tensor& observations, const torch::Tensor& returns,
                     const std::vector<torch::Tensor>& minibatches) {
  for (const torch::Tensor& rows : minibatches) {
    torch::Tensor grad;
    {
      const c10::AutoGradMode gradients(true);
      const torch::Tensor theta = critic.theta.detach().requires_grad_(true);
      const torch::Tensor batch =
          observations.gather(1, rows.unsqueeze(-1).expand({-1, -1, observations.size(2)}));
      const torch::Tensor error = CriticValues(shape, theta, batch) - returns.gather(1, rows);
      const torch::Tensor loss = 0.5 * error.square().mean(1);
      grad = torch::autograd::grad({loss.sum()}, {theta})[0];
    }
    const torch::Tensor scale = ClipScale(GradNorm(grad), config);
    critic = OptimizerStep(critic, grad * scale.unsqueeze(1), config);
  }
  return critic;
}

}  // namespace mentor::learner
