#include "methods/maml/objective.h"

#include <torch/csrc/autograd/autograd.h>

#include <utility>

#include "methods/shared/adapted_lives.h"

namespace mentor::methods {

using torch::Tensor;

MamlObjective::MamlObjective(const AdaptationConfig& config, bool first_order, Tensor weights,
                             std::vector<MamlLifetime> lifetimes, agents::WorkerPool* pool)
    : config_(config),
      policy_(config.policy),
      first_order_(first_order),
      weights_(std::move(weights)),
      lifetimes_(std::move(lifetimes)),
      pool_(pool),
      prepared_(lifetimes_.size()) {}

absl::Status MamlObjective::Prepare() {
  return agents::ParallelFor(pool_, size(), [&](int64_t i) {
    MamlLifetime& lifetime = lifetimes_[i];
    Tensor weights = weights_.clone();
    for (PolicyGradientData& data : lifetime.adaptation) {
      // The agent made the same step by the loss without the ratio.
      data.old_log_probs = Tensor();
      const Tensor next = Adapt(config_, policy_, weights, data);
      data.old_log_probs = LogProb(policy_.Forward(weights, data.observations), data.actions);
      weights = next;
    }
    prepared_[i] = {weights, policy_.Forward(weights, lifetime.meta.observations)};
    lifetime.meta.old_log_probs = LogProb(prepared_[i].acted, lifetime.meta.actions);
    return absl::OkStatus();
  });
}

Tensor MamlObjective::Displacement(const Tensor& d) const {
  return d.to(weights_.scalar_type()).clone().requires_grad_();
}

Tensor MamlObjective::Adapted(int64_t i, const Tensor& displacement) const {
  if (first_order_) return prepared_[i].adapted + displacement;
  Tensor weights = weights_ + displacement;
  for (const PolicyGradientData& data : lifetimes_[i].adaptation)
    weights = GradientStep(policy_, weights, data, config_.learning_rate);
  return weights;
}

absl::StatusOr<Tensor> MamlObjective::Gradient() const {
  return MeanOver(pool_, size(), [&](int64_t i) {
    const Tensor d = Displacement(torch::zeros_like(weights_));
    const Tensor loss = PolicyGradientLoss(policy_, Adapted(i, d), lifetimes_[i].meta);
    return torch::autograd::grad({loss}, {d})[0];
  });
}

absl::StatusOr<Tensor> MamlObjective::HessianVector(const Tensor& v) const {
  const Tensor vector = v.to(weights_.scalar_type());
  return MeanOver(pool_, size(), [&](int64_t i) {
    const Tensor d = Displacement(torch::zeros_like(weights_));
    const Tensor kl =
        MeanKl(policy_.Forward(Adapted(i, d), lifetimes_[i].meta.observations), prepared_[i].acted);
    const Tensor gradient = torch::autograd::grad({kl}, {d}, /*grad_outputs=*/{},
                                                  /*retain_graph=*/true, /*create_graph=*/true)[0];
    return torch::autograd::grad({gradient.dot(vector)}, {d})[0];
  });
}

absl::StatusOr<TrpoValue> MamlObjective::Evaluate(const Tensor& displacement) const {
  const Tensor d = displacement.to(weights_.scalar_type());
  return MeanValue(pool_, size(), [&](int64_t i) -> TrpoValue {
    const PolicyGradientData& meta = lifetimes_[i].meta;
    const ActionDistribution now = policy_.Forward(Adapted(i, d), meta.observations);
    const Tensor ratio = (LogProb(now, meta.actions) - meta.old_log_probs).exp();
    return {.loss = -(ratio * meta.advantages).mean().item<double>(),
            .kl = MeanKl(now, prepared_[i].acted).item<double>()};
  });
}

}  // namespace mentor::methods
