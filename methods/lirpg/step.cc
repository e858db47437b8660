#include "methods/lirpg/step.h"

#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <vector>

#include "agents/adam.h"
#include "agents/gae.h"
#include "agents/row_statistics.h"
#include "methods/shared/critic.h"

namespace mentor::learner {
namespace {

using torch::Tensor;

// Half the squared error of the minibatch's values, at the worse of the value and the clipped one.
Tensor TaskCriticGradient(const AgentShape& shape, const LirpgConfig& config,
                          const LirpgSegment& segment, const Tensor& critics, const Tensor& rows) {
  const at::AutoGradMode gradients(true);
  const Tensor theta = critics.detach().requires_grad_(true);
  const Tensor values = CriticValues(shape, theta, TakeRows(segment.inputs.observations, rows));
  const Tensor before = TakeRows(segment.task_values, rows).to(theta.scalar_type());
  const Tensor returns = before + TakeRows(segment.task_advantages, rows).to(theta.scalar_type());
  Tensor square = (values - returns).square();
  if (config.value_clip > 0) {
    const Tensor clipped = before + (values - before).clamp(-config.value_clip, config.value_clip);
    square = torch::maximum(square, (clipped - returns).square());
  }
  return torch::autograd::grad({config.value_coef * 0.5 * Mean(square).sum()}, {theta})[0];
}

Tensor IsFinite(const AgentBatch& x) {
  return x.theta.isfinite()
      .all(1)
      .logical_and(x.adam_m.isfinite().all(1))
      .logical_and(x.adam_v.isfinite().all(1));
}

// Torch's epsilon that gives TensorFlow's step number `steps`. TensorFlow's has both corrections of
// bias in the rate and m / (sqrt(v) + eps), which is m / (sqrt(v / c) + eps / sqrt(c)) with c = 1 -
// beta2^steps.
double EpsilonOf(const PpoConfig& config, int64_t steps) {
  return config.adam_epsilon /
         std::sqrt(1 - std::pow(config.adam_beta2, static_cast<double>(steps)));
}

}  // namespace

Tensor MixedAdvantages(const LirpgConfig& config, const LirpgSegment& segment,
                       const Tensor& learned) {
  return Gae(segment.task_rewards + config.c_in * learned.detach().to(torch::kFloat64),
             segment.inputs.values, segment.prev_done, segment.last_done, segment.last_values,
             config.update.ppo.gamma, config.update.ppo.gae_lambda)
      .advantages.to(segment.inputs.values.scalar_type());
}

LirpgGradient LirpgStep(const AgentShape& shape, const LirpgConfig& config,
                        const LirpgSegment& segment, const AgentBatch& agents,
                        const LearnedRewards& rewards, const Tensor& weights, const Tensor& critics,
                        const Tensor& rows) {
  const PpoConfig& ppo = config.update.ppo;
  LirpgGradient result;
  const at::AutoGradMode gradients(true);
  const Tensor leaf = weights.detach().requires_grad_(true);
  const Tensor learned = rewards(leaf);

  UpdateInputs inputs = segment.inputs;
  inputs.agents = agents;
  inputs.advantages = MixedAdvantages(config, segment, learned);
  inputs.minibatches = {rows};
  const OuterRows own{TakeRows(inputs.observations, rows),
                      TakeRows(inputs.actions, rows),
                      TakeRows(inputs.log_probs, rows),
                      TakeRows(segment.task_advantages, rows).to(inputs.values.scalar_type()),
                      {}};
  const ParamLayout layout = AgentLayout(shape);
  const UpdateGradient update = DifferentiateUpdate(
      shape, config.update, inputs,
      [&](const Tensor& theta) {
        return OuterLoss(layout, theta, own, config.outer, &result.outer);
      },
      UpdateImplementation::kUnrolled);
  result.agents = update.after.agents;
  result.trace = update.after.trace;
  result.outer_loss = update.outer_loss;

  const Tensor finite = IsFinite(result.agents)
                            .logical_and(update.advantages.isfinite().all(1))
                            .logical_and(update.outer_loss.isfinite());
  result.left_out = finite.logical_not().sum().item<int64_t>();
  const Tensor by_advantage =
      torch::where(finite.unsqueeze(1), update.advantages, torch::zeros_like(update.advantages));
  const Tensor by_reward = GaeAdjoint(by_advantage, segment.prev_done, ppo.gamma, ppo.gae_lambda) *
                           (config.c_in / static_cast<double>(rows.size(0)));
  result.weights = torch::autograd::grad({learned}, {leaf},
                                         {by_reward.to(learned.options().requires_grad(false))})[0];
  const Tensor by_critic = TaskCriticGradient(shape, config, segment, critics, rows);
  result.critics = torch::where(finite.unsqueeze(1), by_critic, torch::zeros_like(by_critic));
  return result;
}

void StepTogether(const PpoConfig& config, bool hat, const LirpgGradient& gradient,
                  AgentBatch* weights, AgentBatch* critics) {
  const double norm = std::sqrt(gradient.weights.square().sum().item<double>() +
                                gradient.critics.square().sum(1).mean().item<double>());
  double scale = 1;
  if (config.max_grad_norm) {
    // Without the 1e-6 of PyTorch in TensorFlow's form (methods/meta_gradient/README.md).
    scale = hat ? *config.max_grad_norm / std::max(norm, *config.max_grad_norm)
                : std::min(1.0, *config.max_grad_norm / (norm + 1e-6));
  }
  PpoConfig step = config;
  if (hat) step.adam_epsilon = EpsilonOf(config, weights->adam_steps[0].item<int64_t>() + 1);
  *weights = OptimizerStep(*weights, scale * gradient.weights.unsqueeze(0), step);
  *critics = OptimizerStep(*critics, scale * gradient.critics, step);
}

}  // namespace mentor::learner
