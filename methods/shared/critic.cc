#include "methods/shared/critic.h"

#include <utility>

#include <absl/strings/str_format.h>

#include "agents/adam.h"
#include "agents/differentiable_update.h"
#include "agents/policy.h"
#include "agents/worker_pool.h"
#include "common/check.h"

namespace mentor::methods {
using torch::Tensor;

BoundOptions<agents::PpoConfig> CriticOptions(const std::string& help) {
  using Ppo = agents::PpoConfig;
  return Bind<Ppo>({{&Ppo::learning_rate, "critic_learning_rate", "1e-3", 0, 10, help},
                    {&Ppo::epochs, "critic_epochs", "4", 1, 10000, "Their passes over a segment."},
                    {&Ppo::minibatches, "critic_minibatches", "4", 1, 100000,
                     "Their minibatches in each pass."}});
}

void CheckCritic(const agents::PpoConfig& config, int64_t steps, Violations* violations) {
  if (config.minibatches <= steps) return;
  violations->Add(
      "rule.option.critic_minibatches",
      absl::StrFormat("is %d for %d steps; use at most as many", config.minibatches, steps));
}

agents::ParamLayout CriticLayout(const agents::AgentShape& shape, int64_t embedding) {
  const int64_t d = shape.observation_size + embedding, h = shape.hidden_units;
  agents::NamedShapes parameters;
  if (embedding > 0) parameters.push_back({"embed.W", {embedding, 2}});
  for (auto& parameter : agents::ThreeLayers("critic", d, h, shape.value_outputs))
    parameters.push_back(std::move(parameter));
  return agents::ParamLayout(std::move(parameters));
}

int64_t CriticSize(const agents::AgentShape& shape, int64_t embedding) {
  return CriticLayout(shape, embedding).size();
}

Tensor EmbedDiscounts(const agents::AgentShape& shape, const Tensor& theta,
                      const signals::DiscountInput& discounts) {
  const Tensor w = CriticLayout(shape, discounts.embedding).Split(theta)[0];  // [S, E, 2]
  return w.select(2, 0) * discounts.gamma + w.select(2, 1) * discounts.lambda;
}

Tensor CriticValues(const agents::AgentShape& shape, const Tensor& theta,
                    const Tensor& observations, const signals::DiscountInput& discounts) {
  std::vector<Tensor> p = CriticLayout(shape, discounts.embedding).Split(theta);
  if (discounts.embedding > 0) {
    p.erase(p.begin());
    // All rows share the embedding, so it is folded into the biases of layer 1.
    const Tensor e = EmbedDiscounts(shape, theta, discounts).unsqueeze(1);  // [S, 1, E]
    p[1] = p[1] + (p[0].narrow(2, shape.observation_size, discounts.embedding) * e).sum(2);
    p[0] = p[0].narrow(2, 0, shape.observation_size);
  }
  return agents::Forward({p[0], p[1], p[2], p[3], p[4], p[5]}, observations).squeeze(-1);
}

void AddValues(const std::function<Tensor(const Tensor&)>& critic, const agents::Segment& normal,
               agents::Segment* segment) {
  segment->values = critic(normal.observations);
  segment->last_values = critic(normal.next_observations.unsqueeze(1)).squeeze(1);
  if (!segment->truncated.defined()) return;
  segment->final_values =
      agents::AtTruncations(critic(normal.final_observations), segment->truncated);
}

agents::Advantages AdvantagesOf(const Tensor& rewards, const agents::Segment& segment, double gamma,
                                double lambda) {
  return agents::Gae(rewards, segment.values, segment.prev_done, segment.last_done,
                     segment.last_values, gamma, lambda, {segment.truncated, segment.final_values});
}

absl::StatusOr<agents::AgentBatch> FitCritic(
    const agents::AgentShape& shape, const agents::PpoConfig& config, agents::AgentBatch critic,
    const torch::Tensor& observations, const torch::Tensor& returns,
    const std::vector<torch::Tensor>& minibatches, const signals::DiscountInput& discounts) {
  for (const torch::Tensor& rows : minibatches) {
    MENTOR_RETURN_IF_ERROR(agents::CheckInterrupt());
    critic = agents::Descend(critic, config, [&](const torch::Tensor& theta) {
      const torch::Tensor error =
          CriticValues(shape, theta, agents::TakeRows(observations, rows), discounts) -
          agents::TakeRows(returns, rows);
      return 0.5 * error.square().mean(1);
    });
  }
  return critic;
}

}  // namespace mentor::methods
