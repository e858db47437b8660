#include "methods/lirpg/step.h"

#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <span>

#include "agents/adam.h"
#include "agents/gae.h"
#include "agents/kernel_steps.h"
#include "agents/row_statistics.h"
#include "common/check.h"
#include "kernels/optimizer.h"
#include "methods/shared/critic.h"

namespace mentor::methods {
namespace {

using torch::Tensor;

// Half the squared error of the minibatch's values, at the worse of the value and the clipped one.
Tensor TaskCriticGradient(const agents::AgentShape& shape, const LirpgConfig& config,
                          const LirpgSegment& segment, const Tensor& critics, const Tensor& rows) {
  const at::AutoGradMode gradients(true);
  const Tensor theta = critics.detach().requires_grad_(true);
  const Tensor values =
      CriticValues(shape, theta, agents::TakeRows(segment.inputs.observations, rows));
  const Tensor before = agents::TakeRows(segment.task_values, rows).to(theta.scalar_type());
  const Tensor returns =
      before + agents::TakeRows(segment.task_advantages, rows).to(theta.scalar_type());
  Tensor square = (values - returns).square();
  if (config.value_clip > 0) {
    const Tensor clipped = before + (values - before).clamp(-config.value_clip, config.value_clip);
    square = torch::maximum(square, (clipped - returns).square());
  }
  return torch::autograd::grad({config.value_coef * 0.5 * agents::Mean(square).sum()}, {theta})[0];
}

template <typename T>
bool StepTogetherOf(const agents::PpoConfig& config, bool hat, const LirpgGradient& gradient,
                    agents::AgentBatch* weights, agents::AgentBatch* critics) {
  const auto row = [](const Tensor& x, int64_t s) {
    MENTOR_CHECK(x.is_contiguous());
    return std::span<const T>(x.const_data_ptr<T>() + s * x.size(-1),
                              static_cast<size_t>(x.size(-1)));
  };
  const int64_t num_agents = gradient.critics.size(0);
  double square = 0;
  for (int64_t s = 0; s < num_agents; ++s) square += kernels::SquaredNorm(row(gradient.critics, s));
  square =
      kernels::SquaredNorm(row(gradient.weights, 0)) + square / static_cast<double>(num_agents);
  if (!std::isfinite(square)) return false;
  const double scale = agents::ClipFactor(config, hat, std::sqrt(square));
  const auto step = [&](std::span<const T> grad, const agents::AgentState<T>& x) {
    const int64_t number = ++*x.adam_steps;
    kernels::AdamStepInPlace<T>(agents::AdamAt(config, hat, number), number, scale, grad, x.theta,
                                x.m, x.v);
  };
  *weights = agents::CopyOf(*weights);
  *critics = agents::CopyOf(*critics);
  step(row(gradient.weights, 0), agents::StateOfAgent<T>(*weights, 0));
  for (int64_t s = 0; s < num_agents; ++s)
    step(row(gradient.critics, s), agents::StateOfAgent<T>(*critics, s));
  return true;
}

}  // namespace

Tensor MixedAdvantages(const LirpgConfig& config, const LirpgSegment& segment,
                       const Tensor& learned) {
  return agents::Gae(segment.task_rewards + config.c_in * learned.detach().to(torch::kFloat64),
                     segment.inputs.values, segment.prev_done, segment.last_done,
                     segment.last_values, config.update.ppo.gamma, config.update.ppo.gae_lambda)
      .advantages.to(segment.inputs.values.scalar_type());
}

absl::StatusOr<LirpgGradient> LirpgStep(const agents::AgentShape& shape, const LirpgConfig& config,
                                        const LirpgSegment& segment,
                                        const agents::AgentBatch& agents,
                                        const LearnedRewards& rewards, const Tensor& weights,
                                        const Tensor& critics, const Tensor& rows) {
  const agents::PpoConfig& ppo = config.update.ppo;
  LirpgGradient result;
  const at::AutoGradMode gradients(true);
  const Tensor leaf = weights.detach().requires_grad_(true);
  const Tensor learned = rewards(leaf);

  agents::UpdateInputs inputs = segment.inputs;
  inputs.agents = agents;
  inputs.advantages = MixedAdvantages(config, segment, learned);
  inputs.minibatches = {rows};
  const OuterRows own{
      agents::TakeRows(inputs.observations, rows),
      agents::TakeRows(inputs.actions, rows),
      agents::TakeRows(inputs.log_probs, rows),
      agents::TakeRows(segment.task_advantages, rows).to(inputs.values.scalar_type()),
      {}};
  const agents::ParamLayout layout = agents::AgentLayout(shape);
  MENTOR_ASSIGN_OR_RETURN(const agents::UpdateGradient update,
                          agents::DifferentiateUpdate(
                              shape, config.update, inputs,
                              [&](const Tensor& theta) {
                                return OuterLoss(layout, theta, own, config.outer, &result.outer);
                              },
                              agents::UpdateImplementation::kUnrolled));
  result.agents =
      agents::ChooseAgents(agents::IsFinite(update.after.agents), update.after.agents, agents);
  result.trace = update.after.trace;
  result.outer_loss = update.outer_loss;

  const Tensor finite = agents::IsFinite(update.after.agents)
                            .logical_and(update.advantages.isfinite().all(1))
                            .logical_and(update.outer_loss.isfinite());
  result.left_out = finite.logical_not().sum().item<int64_t>();
  const Tensor by_advantage =
      torch::where(finite.unsqueeze(1), update.advantages, torch::zeros_like(update.advantages));
  const Tensor by_reward =
      agents::GaeAdjoint(by_advantage, segment.prev_done, ppo.gamma, ppo.gae_lambda) *
      (config.c_in / static_cast<double>(rows.size(0)));
  result.weights = torch::autograd::grad({learned}, {leaf},
                                         {by_reward.to(learned.options().requires_grad(false))})[0];
  const Tensor by_critic = TaskCriticGradient(shape, config, segment, critics, rows);
  result.critics = torch::where(finite.unsqueeze(1), by_critic, torch::zeros_like(by_critic));
  return result;
}

bool StepTogether(const agents::PpoConfig& config, bool hat, const LirpgGradient& gradient,
                  agents::AgentBatch* weights, agents::AgentBatch* critics) {
  return weights->theta.scalar_type() == torch::kFloat32
             ? StepTogetherOf<float>(config, hat, gradient, weights, critics)
             : StepTogetherOf<double>(config, hat, gradient, weights, critics);
}

}  // namespace mentor::methods
