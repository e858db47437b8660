#include "meta_learner/rules/maml_objective.h"

#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <utility>

#include "common/check.h"

namespace mentor::meta_learner {
namespace {

using torch::Tensor;

// Mean over n lifetimes, [P] float64, added in their order.
absl::StatusOr<Tensor> MeanOver(learner::WorkerPool* pool, int64_t n,
                                const std::function<Tensor(int64_t)>& of_lifetime) {
  std::vector<Tensor> parts(n);
  MENTOR_RETURN_IF_ERROR(learner::ParallelFor(pool, n, [&](int64_t i) {
    const c10::AutoGradMode gradients_on(true);
    parts[i] = of_lifetime(i).detach().to(torch::kFloat64);
    return absl::OkStatus();
  }));
  Tensor sum = torch::zeros_like(parts[0]);
  for (const Tensor& part : parts) sum += part;
  return sum / static_cast<double>(n);
}

}  // namespace

MamlObjective::MamlObjective(const learner::AdaptationConfig& config, bool first_order,
                             Tensor weights, std::vector<MamlLifetime> lifetimes,
                             learner::WorkerPool* pool)
    : config_(config),
      policy_(config.policy),
      first_order_(first_order),
      weights_(std::move(weights)),
      lifetimes_(std::move(lifetimes)),
      pool_(pool),
      prepared_(lifetimes_.size()) {}

absl::Status MamlObjective::Prepare() {
  return learner::ParallelFor(pool_, size(), [&](int64_t i) {
    MamlLifetime& lifetime = lifetimes_[i];
    Tensor weights = weights_.clone();
    for (learner::PolicyGradientData& data : lifetime.adaptation) {
      // The same step as the agent made, by the loss without the ratio.
      data.old_log_probs = Tensor();
      const Tensor next = learner::Adapt(config_, policy_, weights, data);
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
  for (const learner::PolicyGradientData& data : lifetimes_[i].adaptation)
    weights = learner::GradientStep(policy_, weights, data, config_.learning_rate);
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
  std::vector<TrpoValue> values(lifetimes_.size());
  MENTOR_RETURN_IF_ERROR(learner::ParallelFor(pool_, size(), [&](int64_t i) {
    const learner::PolicyGradientData& meta = lifetimes_[i].meta;
    const learner::ActionDistribution now = policy_.Forward(Adapted(i, d), meta.observations);
    const Tensor ratio = (LogProb(now, meta.actions) - meta.old_log_probs).exp();
    values[i] = {.loss = -(ratio * meta.advantages).mean().item<double>(),
                 .kl = MeanKl(now, prepared_[i].acted).item<double>()};
    return absl::OkStatus();
  }));
  TrpoValue mean;
  for (const TrpoValue& value : values) {
    mean.loss += value.loss / static_cast<double>(size());
    mean.kl += value.kl / static_cast<double>(size());
  }
  return mean;
}

}  // namespace mentor::meta_learner
