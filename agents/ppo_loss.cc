#include "agents/ppo_loss.h"

#include "agents/policy.h"
#include "agents/row_statistics.h"

namespace mentor::agents {
namespace {

// Densities in double, as in the kernels: a KL of 1e-5 is in the last digits of float32
// log-densities.
torch::Tensor KlOf(const torch::Tensor& mean, const torch::Tensor& log_std,
                   const Minibatch& batch) {
  const auto exact = [](const torch::Tensor& x) {
    return x.defined() ? x.detach().to(torch::kFloat64) : x;
  };
  return ApproxKl(LogProb(exact(mean), exact(log_std), exact(batch.actions)) -
                  exact(batch.log_probs))
      .to(mean.scalar_type());
}

// [S, B]: the loss of each step by its ratio and standardised advantage.
torch::Tensor Surrogates(const torch::Tensor& ratio, const torch::Tensor& log_ratio,
                         const torch::Tensor& advantages, const PpoConfig& config) {
  if (!config.drift) {
    return torch::maximum(-advantages * ratio,
                          -advantages * ratio.clamp(1 - config.clip, 1 + config.clip));
  }
  const torch::Tensor rises = advantages >= 0;
  const torch::Tensor gain = torch::where(rises, ratio - 1, log_ratio) * advantages;
  const torch::Tensor scale =
      torch::full_like(ratio, config.drift->beta).masked_fill(rises, config.drift->alpha);
  const torch::Tensor drift =
      torch::where(gain > 0, gain - scale * (gain / scale).tanh(), torch::zeros_like(gain));
  return drift - advantages * ratio;
}

}  // namespace

LossTerms PpoLoss(const ParamLayout& layout, const torch::Tensor& theta, const Minibatch& batch,
                  const PpoConfig& config, const PolicyLoss& policy_loss) {
  const AgentNetworks networks = SplitAgents(layout, theta);
  LossTerms terms;
  terms.mean = Forward(networks.policy, batch.observations);
  terms.log_probs = LogProb(terms.mean, networks.log_std, batch.actions);
  const torch::Tensor log_ratio = terms.log_probs - batch.log_probs;
  terms.ratio = log_ratio.exp();
  terms.advantages = config.normalize_advantage
                         ? Standardised(batch.advantages, {.epsilon = config.advantage_epsilon})
                         : batch.advantages;
  terms.policy_loss =
      Mean(policy_loss ? policy_loss(log_ratio, terms.advantages)
                       : Surrogates(terms.ratio, log_ratio, terms.advantages, config));
  terms.entropy = Entropy(terms.mean, networks.log_std);
  terms.approx_kl = KlOf(terms.mean, networks.log_std, batch);
  terms.clip_fraction = Mean(((terms.ratio - 1).abs() > config.clip).to(theta.scalar_type()));
  terms.loss = terms.policy_loss - config.entropy_coef * terms.entropy;
  if (networks.value.w1.defined()) {
    terms.values = Forward(networks.value, batch.observations).squeeze(-1);
    torch::Tensor square = (terms.values - batch.returns).square();
    if (config.clip_value_loss) {
      const torch::Tensor clipped =
          batch.values + (terms.values - batch.values).clamp(-config.clip, config.clip);
      square = torch::maximum(square, (clipped - batch.returns).square());
    }
    terms.value_loss = 0.5 * Mean(square);
    terms.loss = terms.loss + config.value_coef * terms.value_loss;
  }
  return terms;
}

}  // namespace mentor::agents
