#include "methods/lpg/update.h"

#include <torch/csrc/autograd/autograd.h>

#include "agents/adam.h"
#include "agents/policy.h"
#include "agents/row_statistics.h"
#include "common/check.h"

namespace mentor::methods {
namespace {

using torch::Tensor;

agents::AgentNetworks NetworksOf(const LpgConfig& config, const Tensor& theta) {
  return agents::SplitAgents(agents::AgentLayout(config.agent), theta);
}

// [S, B, m].
Tensor LogY(const agents::AgentNetworks& networks, const Tensor& observations) {
  return agents::Forward(networks.value, observations).log_softmax(-1);
}

}  // namespace

void Predict(const LpgConfig& config, const Tensor& theta, const Tensor& next_observations,
             LpgSteps* steps) {
  const agents::AgentNetworks networks = NetworksOf(config, theta);
  steps->probs =
      agents::LogProb(agents::Forward(networks.policy, steps->observations), {}, steps->actions)
          .exp();
  steps->y =
      LogY(networks, torch::cat({steps->observations, next_observations.unsqueeze(1)}, 1)).exp();
}

Tensor LpgLoss(const LpgConfig& config, const Tensor& theta, const LpgSteps& steps,
               const LpgOutputs& outputs) {
  const agents::AgentNetworks networks = NetworksOf(config, theta);
  const Tensor log_pi =
      agents::LogProb(agents::Forward(networks.policy, steps.observations), {}, steps.actions);
  const Tensor log_y = LogY(networks, steps.observations);
  const Tensor divergence = (log_y.exp() * (log_y - outputs.log_y_hat)).sum(-1);
  return agents::Mean(config.alpha_y * divergence - outputs.pi_hat * log_pi);
}

absl::StatusOr<LpgGradient> Teach(const LpgConfig& config, const Tensor& weights,
                                  const agents::AgentBatch& agents,
                                  const std::vector<LpgSteps>& path, const OuterRows& rows) {
  const c10::AutoGradMode gradients(true);
  const auto updates = static_cast<int64_t>(path.size());
  const Tensor phi = weights.detach().requires_grad_(true);
  // The network reads the segments of all updates at once, one below the other.
  const LpgOutputs said = Ask(config.sizes, config.update.ppo.gamma, phi,
                              {.observations = {},
                               .actions = {},
                               .rewards = agents::Joined(path, &LpgSteps::rewards),
                               .dones = agents::Joined(path, &LpgSteps::dones),
                               .probs = agents::Joined(path, &LpgSteps::probs),
                               .y = agents::Joined(path, &LpgSteps::y)});
  // Update k has rows k S .. of both.
  std::vector<Tensor> inputs = said.pi_hat.detach().chunk(updates);
  for (const Tensor& part : said.log_y_hat.detach().chunk(updates)) inputs.push_back(part);

  LpgGradient result;
  const auto loss = [&](const Tensor& theta, const std::vector<Tensor>& in, int64_t k) {
    return LpgLoss(config, theta, path[k], {.pi_hat = in[k], .log_y_hat = in[updates + k]});
  };
  const auto outer_loss = [&](const Tensor& theta) {
    const agents::AgentNetworks networks = NetworksOf(config, theta);
    const Tensor policy_loss = OuterLoss(agents::AgentLayout(config.agent), theta, rows,
                                         {.form = OuterConfig::Form::kPolicyGradient});
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
