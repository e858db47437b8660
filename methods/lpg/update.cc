#include "methods/lpg/update.h"

#include <torch/csrc/autograd/autograd.h>

#include "agents/adam.h"
#include "agents/policy.h"
#include "agents/row_statistics.h"
#include "common/check.h"

namespace mentor::methods {
namespace {

using torch::Tensor;

// [S, B, m] of theta [S, P].
Tensor LogY(const agents::AgentNetworks& networks, const Tensor& observations) {
  return agents::Forward(networks.value, observations).log_softmax(-1);
}

// Segments one below the other.
LpgSteps Stacked(const std::vector<LpgSteps>& path) {
  const auto stacked = [&](Tensor LpgSteps::*member) {
    std::vector<Tensor> parts;
    for (const LpgSteps& steps : path) parts.push_back(steps.*member);
    return torch::cat(parts);
  };
  return {.observations = {},
          .actions = {},
          .rewards = stacked(&LpgSteps::rewards),
          .dones = stacked(&LpgSteps::dones),
          .probs = stacked(&LpgSteps::probs),
          .y = stacked(&LpgSteps::y)};
}

}  // namespace

LpgSteps LpgSteps::Agents(int64_t first, int64_t count) const {
  const auto part = [&](const Tensor& x) { return x.narrow(0, first, count); };
  return {part(observations), part(actions), part(rewards), part(dones), part(probs), part(y)};
}

agents::ParamLayout LpgAgentLayout(const agents::AgentShape& shape, int64_t predictions) {
  MENTOR_CHECK(shape.discrete && !shape.critic);
  agents::NamedShapes tensors =
      agents::ThreeLayers("actor", shape.observation_size, shape.hidden_units, shape.action_size);
  for (auto& tensor :
       agents::ThreeLayers("y", shape.observation_size, shape.hidden_units, predictions))
    tensors.push_back(std::move(tensor));
  return agents::ParamLayout(std::move(tensors));
}

void Predict(const agents::ParamLayout& layout, const Tensor& theta,
             const Tensor& next_observations, LpgSteps* steps) {
  const agents::AgentNetworks networks = agents::SplitAgents(layout, theta);
  steps->probs =
      agents::LogProb(agents::Forward(networks.policy, steps->observations), {}, steps->actions)
          .exp();
  steps->y =
      LogY(networks, torch::cat({steps->observations, next_observations.unsqueeze(1)}, 1)).exp();
}

LpgOutputs Ask(const LpgConfig& config, const LpgNetwork& network, const Tensor& weights,
               const LpgSteps& steps) {
  const int64_t agents = steps.rewards.size(0), all = steps.rewards.size(1), w = config.unroll,
                m = config.sizes.predictions;
  MENTOR_CHECK(all % w == 0);
  const auto pieces = [&](const Tensor& x) { return x.reshape({agents * all / w, w}); };
  const LpgOutputs outputs = network.Forward(
      weights,
      {.rewards = pieces(steps.rewards),
       .dones = pieces(steps.dones),
       .probs = pieces(steps.probs),
       // Neighbours share the prediction between them.
       .y = steps.y.unfold(1, w + 1, w).transpose(2, 3).reshape({agents * all / w, w + 1, m}),
       .gamma = config.gamma});
  return {.pi_hat = outputs.pi_hat.reshape({agents, all}),
          .log_y_hat = outputs.log_y_hat.reshape({agents, all, m})};
}

Tensor LpgLoss(const LpgConfig& config, const agents::ParamLayout& layout, const Tensor& theta,
               const LpgSteps& steps, const LpgOutputs& outputs) {
  const agents::AgentNetworks networks = agents::SplitAgents(layout, theta);
  const Tensor log_pi =
      agents::LogProb(agents::Forward(networks.policy, steps.observations), {}, steps.actions);
  const Tensor log_y = LogY(networks, steps.observations);
  const Tensor divergence = (log_y.exp() * (log_y - outputs.log_y_hat)).sum(-1);
  return agents::Mean(config.alpha_y * divergence - outputs.pi_hat * log_pi);
}

agents::AgentBatch LpgUpdate(const LpgConfig& config, const agents::ParamLayout& layout,
                             const agents::AgentBatch& agents, const LpgSteps& steps,
                             const LpgOutputs& outputs) {
  Tensor grad;
  {
    const c10::AutoGradMode gradients(true);
    const Tensor theta = agents.theta.detach().requires_grad_(true);
    const Tensor loss = LpgLoss(config, layout, theta, steps, outputs);
    grad = torch::autograd::grad({loss.sum()}, {theta})[0];
  }
  const Tensor scale = agents::ClipScale(agents::GradNorm(grad), config.update.ppo);
  return agents::OptimizerStep(agents, grad * scale.unsqueeze(1), config.update.ppo);
}

absl::StatusOr<LpgGradient> Teach(const LpgConfig& config, const LpgNetwork& network,
                                  const agents::ParamLayout& layout, const Tensor& weights,
                                  const agents::AgentBatch& agents,
                                  const std::vector<LpgSteps>& path, const OuterRows& rows) {
  const c10::AutoGradMode gradients(true);
  const auto updates = static_cast<int64_t>(path.size());
  const Tensor phi = weights.detach().requires_grad_(true);
  const LpgOutputs said = Ask(config, network, phi, Stacked(path));
  // Update k has rows k S .. of both.
  std::vector<Tensor> inputs = said.pi_hat.detach().chunk(updates);
  for (const Tensor& part : said.log_y_hat.detach().chunk(updates)) inputs.push_back(part);

  LpgGradient result;
  const auto loss = [&](const Tensor& theta, const std::vector<Tensor>& in, int64_t k) {
    return LpgLoss(config, layout, theta, path[k], {.pi_hat = in[k], .log_y_hat = in[updates + k]});
  };
  const auto outer_loss = [&](const Tensor& theta) {
    const agents::AgentNetworks networks = agents::SplitAgents(layout, theta);
    const Tensor policy_loss =
        OuterLoss(layout, theta, rows, {.form = OuterConfig::Form::kPolicyGradient});
    const Tensor entropy = agents::Entropy(agents::Forward(networks.policy, rows.observations), {});
    const Tensor of_y = agents::Entropy(agents::Forward(networks.value, rows.observations), {});
    result.policy_loss = policy_loss.detach();
    result.policy_entropy = entropy.detach();
    result.prediction_entropy = of_y.detach();
    return policy_loss - config.policy_entropy * entropy - config.prediction_entropy * of_y;
  };
  MENTOR_ASSIGN_OR_RETURN(result.steps, agents::DifferentiateSteps(config.update, agents, updates,
                                                                   loss, inputs, outer_loss));
  result.finite =
      agents::IsFinite(result.steps.after).logical_and(result.steps.outer_loss.isfinite());
  for (const Tensor& grad : result.steps.inputs)
    result.finite = result.finite.logical_and(grad.flatten(1).isfinite().all(1));

  // On to the weights; the squares reach them directly. An agent that is left out has zeros.
  const Tensor mask = result.finite.repeat({updates}).unsqueeze(1);
  const auto kept = [&](const Tensor& x) {
    return torch::where(mask, x.flatten(1), torch::zeros({}, x.options()));
  };
  const auto by = [&](int64_t first) {
    const auto begin = result.steps.inputs.begin() + first;
    return torch::cat(std::vector<Tensor>(begin, begin + updates));
  };
  const auto times = [&](const Tensor& x, const Tensor& grad) {
    return (x.flatten(1) * kept(grad)).sum();
  };
  const double all = static_cast<double>(updates * said.pi_hat.size(1));
  const Tensor squares = config.pi_hat_square * kept(said.pi_hat.square()).sum() +
                         config.y_hat_square * kept((2 * said.log_y_hat).exp()).sum();
  const Tensor total =
      times(said.pi_hat, by(0)) + times(said.log_y_hat, by(updates)) + squares / all;
  result.weights = torch::autograd::grad({total}, {phi})[0].to(torch::kFloat64);
  return result;
}

}  // namespace mentor::methods
