#include "agents/observation_normaliser.h"

namespace mentor::agents {
namespace {

constexpr double kVarianceFloor = 1e-8;  // Added to the variance.

}  // namespace

ObservationNormaliser::ObservationNormaliser(bool enabled, int64_t num_agents,
                                             int64_t observation_size)
    : enabled_(enabled),
      size_(observation_size),
      state_(torch::zeros({num_agents, enabled ? 2 * observation_size + 1 : 0}, torch::kFloat64)) {}

torch::Tensor ObservationNormaliser::Mean() const {
  return state_.narrow(1, 1, size_);
}

torch::Tensor ObservationNormaliser::Std() const {
  const torch::Tensor count = state_.narrow(1, 0, 1);
  const torch::Tensor variance = state_.narrow(1, 1 + size_, size_) / count.clamp_min(1);
  // Before the first segment there are no statistics.
  return torch::where(count > 0, (variance + kVarianceFloor).sqrt(), torch::ones_like(variance));
}

torch::Tensor ObservationNormaliser::Normalise(const torch::Tensor& observations) const {
  if (!enabled_) return observations;
  std::vector<int64_t> shape(observations.dim(), 1);
  shape.front() = observations.size(0);
  shape.back() = size_;
  const auto like = [&](const torch::Tensor& x) {
    return x.to(observations.device(), observations.scalar_type()).view(shape);
  };
  return (observations - like(Mean())) / like(Std());
}

Segment ObservationNormaliser::Normalise(const Segment& segment) const {
  Segment seen = segment;
  seen.observations = Normalise(segment.observations);
  seen.next_observations = Normalise(segment.next_observations);
  if (segment.final_observations.defined())
    seen.final_observations = Normalise(segment.final_observations);
  return seen;
}

torch::Tensor ObservationNormaliser::Fold(const AgentShape& shape,
                                          const torch::Tensor& theta) const {
  if (!enabled_) return theta;
  const ParamLayout layout = AgentLayout(shape);
  const ParamSlice& w1 = layout.slices()[layout.IndexOf("actor.W1")];
  const ParamSlice& b1 = layout.slices()[layout.IndexOf("actor.b1")];
  torch::Tensor folded = theta.detach().clone();
  const torch::Tensor std = Std().to(theta.device()), mean = Mean().to(theta.device());
  const int64_t agents = theta.size(0);
  const torch::Tensor weights =
      theta.narrow(1, w1.offset, w1.size).to(torch::kFloat64).view({agents, -1, size_}) /
      std.unsqueeze(1);
  folded.narrow(1, w1.offset, w1.size).copy_(weights.flatten(1));
  folded.narrow(1, b1.offset, b1.size)
      .copy_(theta.narrow(1, b1.offset, b1.size).to(torch::kFloat64) -
             torch::bmm(weights, mean.unsqueeze(2)).squeeze(2));
  return folded;
}

void ObservationNormaliser::Add(const torch::Tensor& observations) {
  if (!enabled_) return;
  // The parallel update of mean and squares of Chan, Golub and LeVeque.
  const torch::Tensor x = observations.to(torch::kCPU, torch::kFloat64);
  const double added = static_cast<double>(x.size(1));
  const torch::Tensor mean = x.sum(1) / added;
  const torch::Tensor squares = (x - mean.unsqueeze(1)).square().sum(1);
  const torch::Tensor before = state_.narrow(1, 0, 1), after = before + added;
  const torch::Tensor difference = mean - Mean();
  state_ = torch::cat({after, Mean() + difference * (added / after),
                       state_.narrow(1, 1 + size_, size_) + squares +
                           difference.square() * (before * added / after)},
                      1);
}

}  // namespace mentor::agents
