#include "methods/episodic_control/episodic_table.h"

#include "agents/param_layout.h"
#include "common/check.h"

namespace mentor::methods {

using torch::Tensor;

std::vector<double> EpisodeReturns(std::span<const double> rewards, double gamma) {
  std::vector<double> returns(rewards.size());
  double next = 0;
  for (size_t t = rewards.size(); t-- > 0;) returns[t] = next = rewards[t] + gamma * next;
  return returns;
}

std::vector<double> NStepTargets(std::span<const double> rewards, std::span<const double> greatest,
                                 double last, int64_t n, double gamma) {
  MENTOR_CHECK(greatest.size() == rewards.size());
  const size_t steps = rewards.size();
  std::vector<double> targets(steps);
  for (size_t t = 0; t < steps; ++t) {
    const size_t end = std::min(steps, t + static_cast<size_t>(n));
    double target = end < steps ? greatest[end] : last;
    for (size_t j = end; j-- > t;) target = rewards[j] + gamma * target;
    targets[t] = target;
  }
  return targets;
}

Tensor NeighbourValues(const Tensor& key, const Tensor& keys, const Tensor& values,
                       const Tensor& present, double delta) {
  const Tensor distances = (key.unsqueeze(1) - keys).square().sum(2);
  const Tensor weights = present / (distances + delta);
  return (weights * values).sum(1) / weights.sum(1);
}

Tensor EncodeKeys(const KeyNetwork& network, const Tensor& weights, const Tensor& observations) {
  const agents::ParamLayout layout({{"W1", {network.hidden, network.observation}},
                                    {"b1", {network.hidden}},
                                    {"W2", {network.key, network.hidden}},
                                    {"b2", {network.key}}});
  MENTOR_CHECK(network.hidden > 0 && layout.size() == network.num_weights());
  const std::vector<Tensor> parts = layout.Split(weights);
  const Tensor hidden = torch::addmm(parts[1], observations, parts[0].t()).tanh();
  return torch::addmm(parts[3], hidden, parts[2].t());
}

}  // namespace mentor::methods
