#include "methods/maesn/objective.h"

#include <torch/csrc/autograd/autograd.h>

#include <utility>

#include "agents/policy.h"
#include "common/check.h"
#include "methods/shared/adapted_lives.h"

namespace mentor::methods {

using torch::Tensor;

MaesnObjective::MaesnObjective(const LatentConfig& config, const MaesnLoss& loss, int64_t num_tasks,
                               Tensor weights, std::vector<MaesnLifetime> lifetimes,
                               agents::WorkerPool* pool)
    : config_(config),
      loss_(loss),
      policy_(LatentPolicyLayout(config)),
      layout_(LatentLayout(config, num_tasks)),
      weights_(std::move(weights)),
      lifetimes_(std::move(lifetimes)),
      pool_(pool),
      prepared_(lifetimes_.size()) {
  MENTOR_CHECK(weights_.numel() == layout_.size());
}

absl::Status MaesnObjective::Prepare() {
  return agents::ParallelFor(pool_, size(), [&](int64_t i) {
    Prepared& own = prepared_[i];
    const Latent rates = RatesOf(weights_);
    own.adapted = LatentOf(lifetimes_[i].task, weights_);
    for (const MaesnLifetime::Step& step : lifetimes_[i].steps) {
      const Tensor z = DrawLatents(own.adapted, step.eps);
      Latent next = AdaptLatent(own.adapted, rates, z, step.advantages);
      const bool finite = IsFinite(next);
      own.z.push_back(finite ? z : Tensor());
      if (finite) own.adapted = std::move(next);
    }
    own.acted = Forward(i, weights_);
    own.log_probs = LogProb(own.acted, Actions(i)).view_as(lifetimes_[i].advantages);
    return absl::OkStatus();
  });
}

void MaesnObjective::SetOldLogProbs(int64_t i, Tensor log_probs) {
  MENTOR_CHECK(log_probs.sizes() == prepared_[i].log_probs.sizes());
  prepared_[i].log_probs = std::move(log_probs);
}

Latent MaesnObjective::LatentOf(int64_t task, const Tensor& weights) const {
  const auto row = [&](const char* name) {
    return layout_.Part(name, weights).narrow(0, task * config_.latent, config_.latent);
  };
  return {row("mu"), row("log_sigma")};
}

Latent MaesnObjective::RatesOf(const Tensor& weights) const {
  return {layout_.Part("alpha_mu", weights), layout_.Part("alpha_log_sigma", weights)};
}

Latent MaesnObjective::AdaptedLatent(int64_t i, const Tensor& weights) const {
  Latent latent = LatentOf(lifetimes_[i].task, weights);
  const Latent rates = RatesOf(weights);
  for (size_t k = 0; k < lifetimes_[i].steps.size(); ++k) {
    const Tensor& z = prepared_[i].z[k];
    if (z.defined()) latent = AdaptLatent(latent, rates, z, lifetimes_[i].steps[k].advantages);
  }
  return latent;
}

ActionDistribution MaesnObjective::Forward(int64_t i, const Tensor& weights) const {
  const Tensor& observations = lifetimes_[i].observations;
  const int64_t episodes = observations.size(0), steps = observations.size(1);
  const Tensor z = DrawLatents(AdaptedLatent(i, weights), lifetimes_[i].eps)
                       .unsqueeze(1)
                       .expand({episodes, steps, config_.latent});
  // As one agent of a batch, [1, E M, D + dz].
  const Tensor inputs = torch::cat({observations, z}, 2).reshape({1, episodes * steps, -1});
  const agents::AgentNetworks networks =
      SplitAgents(policy_, weights.narrow(0, 0, policy_.size()).unsqueeze(0));
  return {agents::Forward(networks.policy, inputs).squeeze(0), networks.log_std};
}

Tensor MaesnObjective::Actions(int64_t i) const {
  return lifetimes_[i].actions.flatten(0, 1);
}

Tensor MaesnObjective::Loss(int64_t i, const Tensor& weights, const ActionDistribution& now) const {
  const Tensor advantages = lifetimes_[i].advantages.flatten();
  const Tensor ratio = (LogProb(now, Actions(i)) - prepared_[i].log_probs.flatten()).exp();
  Tensor surrogate = ratio * advantages;
  if (loss_.clip) {
    surrogate = torch::min(surrogate, ratio.clamp(1 - *loss_.clip, 1 + *loss_.clip) * advantages);
  }
  return loss_.kl_coef * LatentKl(LatentOf(lifetimes_[i].task, weights)) - surrogate.mean();
}

Tensor MaesnObjective::Leaf(const Tensor& weights) const {
  return weights.to(weights_.scalar_type()).clone().requires_grad_();
}

absl::StatusOr<Tensor> MaesnObjective::Gradient(const Tensor& weights) const {
  return MeanOver(pool_, size(), [&](int64_t i) {
    const Tensor at = Leaf(weights);
    return torch::autograd::grad({Loss(i, at, Forward(i, at))}, {at})[0];
  });
}

absl::StatusOr<Tensor> MaesnObjective::HessianVector(const Tensor& v) const {
  const Tensor vector = v.to(weights_.scalar_type());
  return MeanOver(pool_, size(), [&](int64_t i) {
    const Tensor at = Leaf(weights_);
    const Tensor kl = MeanKl(Forward(i, at), prepared_[i].acted);
    const Tensor gradient = torch::autograd::grad({kl}, {at}, /*grad_outputs=*/{},
                                                  /*retain_graph=*/true, /*create_graph=*/true)[0];
    return torch::autograd::grad({gradient.dot(vector)}, {at})[0];
  });
}

absl::StatusOr<TrpoValue> MaesnObjective::Evaluate(const Tensor& weights) const {
  const Tensor at = weights.to(weights_.scalar_type());
  return MeanValue(pool_, size(), [&](int64_t i) -> TrpoValue {
    const ActionDistribution now = Forward(i, at);
    return {.loss = Loss(i, at, now).item<double>(),
            .kl = MeanKl(now, prepared_[i].acted).item<double>()};
  });
}

}  // namespace mentor::methods
