#include "learner/agents/outer_objective.h"

#include "learner/agents/policy.h"

namespace mentor::learner {
namespace {

torch::Tensor Mean(const torch::Tensor& x) {
  return x.sum(1) / static_cast<double>(x.size(1));
}

torch::Tensor Standardised(const torch::Tensor& x, int64_t ddof) {
  const torch::Tensor centred = x - Mean(x).unsqueeze(1);
  const torch::Tensor variance = centred.square().sum(1) / static_cast<double>(x.size(1) - ddof);
  return centred / (variance.sqrt().unsqueeze(1) + 1e-8);
}

}  // namespace

OuterRows OuterRows::Agents(int64_t first, int64_t count) const {
  const auto part = [&](const torch::Tensor& x) {
    return x.defined() ? x.narrow(0, first, count) : x;
  };
  return {part(observations), part(actions), part(log_probs), part(advantages), part(returns)};
}

torch::Tensor OuterLoss(const ParamLayout& layout, const torch::Tensor& theta,
                        const OuterRows& rows, const OuterConfig& config,
                        torch::Tensor* clip_fraction) {
  const AgentNetworks networks = SplitAgents(layout, theta);
  const torch::Tensor log_probs =
      LogProb(Forward(networks.policy, rows.observations), networks.log_std, rows.actions);
  const torch::Tensor advantages =
      (config.normalize_advantage ? Standardised(rows.advantages, config.advantage_ddof)
                                  : rows.advantages)
          .detach();
  const torch::Tensor ratio = (log_probs - rows.log_probs).exp();
  if (clip_fraction != nullptr)
    *clip_fraction = Mean(((ratio - 1).abs() > config.clip).to(theta.scalar_type())).detach();
  torch::Tensor loss;
  switch (config.form) {
    case OuterConfig::Form::kClippedRatio:
      loss = Mean(torch::maximum(-ratio * advantages,
                                 -ratio.clamp(1 - config.clip, 1 + config.clip) * advantages));
      break;
    case OuterConfig::Form::kRatio:
      loss = -Mean(ratio * advantages);
      break;
    case OuterConfig::Form::kPolicyGradient:
      loss = -Mean(log_probs * advantages);
      break;
  }
  if (config.value_coef == 0) return loss;
  const torch::Tensor values = Forward(networks.value, rows.observations).squeeze(-1);
  return loss + config.value_coef * 0.5 * Mean((values - rows.returns).square());
}

}  // namespace mentor::learner
