#include "methods/shared/outer_objective.h"

#include "agents/policy.h"
#include "agents/row_statistics.h"

namespace mentor::methods {

OuterRows OuterRows::Agents(int64_t first, int64_t count) const {
  const auto part = [&](const torch::Tensor& x) {
    return x.defined() ? x.narrow(0, first, count) : x;
  };
  return {part(observations), part(actions), part(log_probs), part(advantages), part(returns)};
}

torch::Tensor OuterLoss(const agents::ParamLayout& layout, const torch::Tensor& theta,
                        const OuterRows& rows, const OuterConfig& config,
                        OuterStatistics* statistics) {
  const agents::AgentNetworks networks = agents::SplitAgents(layout, theta);
  const torch::Tensor log_probs = agents::LogProb(
      agents::Forward(networks.policy, rows.observations), networks.log_std, rows.actions);
  const torch::Tensor advantages =
      (config.normalize_advantage
           ? agents::Standardised(rows.advantages, {.ddof = config.advantage_ddof,
                                                    .std_floor = config.advantage_std_floor})
           : rows.advantages)
          .detach();
  const torch::Tensor ratio = (log_probs - rows.log_probs).exp();
  if (statistics != nullptr) {
    const torch::Dtype dtype = theta.scalar_type();
    const torch::Tensor std =
        agents::StandardDeviation(rows.advantages.detach(), config.advantage_ddof).to(dtype);
    *statistics = {
        .clip_fraction = agents::Mean(((ratio - 1).abs() > config.clip).to(dtype)).detach(),
        .advantage_std = std,
        .advantage_floored = config.normalize_advantage
                                 ? (std < config.advantage_std_floor).to(dtype)
                                 : torch::zeros_like(std)};
  }
  torch::Tensor loss;
  switch (config.form) {
    case OuterConfig::Form::kClippedRatio:
      loss = agents::Mean(torch::maximum(
          -ratio * advantages, -ratio.clamp(1 - config.clip, 1 + config.clip) * advantages));
      break;
    case OuterConfig::Form::kRatio:
      loss = -agents::Mean(ratio * advantages);
      break;
    case OuterConfig::Form::kPolicyGradient:
      loss = -agents::Mean(log_probs * advantages);
      break;
    case OuterConfig::Form::kValueError:
      return agents::Mean(
          (agents::Forward(networks.value, rows.observations).squeeze(-1) - rows.returns).square());
  }
  if (config.value_coef == 0) return loss;
  const torch::Tensor values = agents::Forward(networks.value, rows.observations).squeeze(-1);
  return loss + config.value_coef * 0.5 * agents::Mean((values - rows.returns).square());
}

}  // namespace mentor::methods
