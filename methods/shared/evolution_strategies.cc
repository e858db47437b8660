// Evolution strategies on the signal network (Salimans et al. 2017;
// methods/evolution_strategies/README.md). Weights phi + sigma eps_i teach one lifetime of a pair,
// phi - sigma eps_i the other, and
//   g = 1/(F sigma) sum_i rank(fitness_i) (+-eps_i),   phi <- Adam(phi, -g + decay phi).
// Only outcomes are needed, no density and no gradient, so any signal network will do.
#include "methods/shared/evolution_strategies.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "common/check.h"
#include "methods/shared/evolution_rule.h"
#include "methods/shared/perturbation.h"

namespace mentor::meta_learner {

using torch::Tensor;

Tensor CentredRanks(const Tensor& fitness, const std::vector<std::string>& groups) {
  const Tensor values = fitness.to(torch::kFloat64).contiguous();
  const double* value = values.const_data_ptr<double>();
  MENTOR_CHECK(values.numel() == static_cast<int64_t>(groups.size()));
  std::map<std::string, std::vector<size_t>> members;
  for (size_t i = 0; i < groups.size(); ++i) members[groups[i]].push_back(i);
  Tensor ranks = torch::zeros_like(values);
  double* rank = ranks.mutable_data_ptr<double>();
  for (auto& [name, group] : members) {
    if (group.size() < 2) continue;
    std::stable_sort(group.begin(), group.end(),
                     [&](size_t a, size_t b) { return value[a] < value[b]; });
    for (size_t begin = 0, end = 0; begin < group.size(); begin = end) {
      while (end < group.size() && value[group[end]] == value[group[begin]]) ++end;
      const double place = static_cast<double>(begin + end - 1) / 2;
      for (size_t i = begin; i < end; ++i)
        rank[group[i]] = place / static_cast<double>(group.size() - 1) - 0.5;
    }
  }
  return ranks;
}

Tensor EvolutionGradient(const Tensor& ranks, double sigma, uint64_t seed, uint32_t first_lifetime,
                         int64_t size) {
  const Tensor weights = ranks.to(torch::kFloat64).contiguous();
  const double* weight = weights.const_data_ptr<double>();
  const int64_t num_lifetimes = weights.numel();
  MENTOR_CHECK(num_lifetimes % 2 == 0 && first_lifetime % 2 == 0);
  Tensor gradient = torch::zeros({size}, torch::kFloat64);
  for (int64_t i = 0; i < num_lifetimes; i += 2) {
    const uint32_t lifetime = first_lifetime + static_cast<uint32_t>(i);
    gradient +=
        (weight[i] - weight[i + 1]) *
        learner::PairPerturbation(seed, learner::PairOf(lifetime), size).to(torch::kFloat64);
  }
  return gradient / (static_cast<double>(num_lifetimes) * sigma);
}

std::optional<double> PairCorrelation(const Tensor& fitness,
                                      const std::vector<std::string>& groups) {
  const Tensor values = fitness.to(torch::kFloat64).contiguous();
  const double* value = values.const_data_ptr<double>();
  MENTOR_CHECK(values.numel() == static_cast<int64_t>(groups.size()) && groups.size() % 2 == 0);
  std::map<std::string, std::pair<double, double>> sums;  // Sum and size of each group.
  for (size_t i = 0; i < groups.size(); ++i) {
    sums[groups[i]].first += value[i];
    sums[groups[i]].second += 1;
  }
  const auto deviation = [&](size_t i) {
    const auto& [sum, size] = sums.at(groups[i]);
    return value[i] - sum / size;
  };
  double products = 0, squares = 0;
  for (size_t i = 0; i < groups.size(); i += 2) {
    const double first = deviation(i), second = deviation(i + 1);
    products += first * second;
    squares += (first * first + second * second) / 2;
  }
  if (squares == 0) return std::nullopt;
  return products / squares;
}

void EvolutionStep(const EvolutionConfig& config, const Tensor& gradient, Tensor weights,
                   AdamState* adam) {
  ClipAndStep(
      config.adam, /*max_grad_norm=*/std::nullopt,
      (config.weight_decay * weights.to(torch::kFloat64) - gradient).to(weights.scalar_type()),
      weights, adam);
}

}  // namespace mentor::meta_learner
