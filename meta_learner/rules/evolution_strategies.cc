// Evolution strategies on the signal network (Salimans et al. 2017;
// docs/algorithms/evolution_strategies.md): each lifetime is taught by weights phi + sigma eps_i,
// or phi - sigma eps_i in every second one, and
//
//   g = 1/(F sigma) sum_i rank(fitness_i) (+-eps_i),   phi <- Adam(phi, -g + decay phi).
//
// Needs outcomes only, no density and no gradient: any signal network will do.
#include "meta_learner/rules/evolution_strategies.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "learner/inner_loops/perturbation.h"
#include "meta_learner/rules/outer_ppo_rule.h"
#include "meta_learner/rules/outer_rule.h"

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

void EvolutionStep(const EvolutionConfig& config, const Tensor& gradient, Tensor weights,
                   AdamState* adam) {
  ClipAndStep(
      config.adam, /*max_grad_norm=*/std::nullopt,
      (config.weight_decay * weights.to(torch::kFloat64) - gradient).to(weights.scalar_type()),
      weights, adam);
}

namespace {

class EvolutionStrategies : public OuterRule {
 public:
  EvolutionStrategies(const RuleContext& context, const OptionValues& options)
      : seed_(context.spec.seed()),
        lifetimes_(context.spec.rule().lifetimes_per_update()),
        lifetime_steps_(int64_t{context.spec.lifetime().iterations()} *
                        context.spec.lifetime().steps_per_iteration()),
        success_(options.Choice("fitness") == "success") {
    config_.sigma = options.Number("sigma");
    config_.weight_decay = options.Number("weight_decay");
    config_.adam = ReadAdam(options);
    weights_ = context.network->InitialWeights(seed_);
    adam_ = {torch::zeros_like(weights_), torch::zeros_like(weights_), 0};
  }

  RuleNeeds needs() const override { return {.segments = false}; }
  Tensor meta_parameters() const override { return weights_; }

  TensorMap Save() const override { return SaveTrained(weights_, adam_); }
  absl::Status Load(const TensorMap& state) override {
    return LoadTrained(state, &weights_, &adam_);
  }

 private:
  absl::StatusOr<RuleReport> DoUpdate(const LifetimeBatch& batch, uint32_t outer_step) override {
    MENTOR_ASSIGN_OR_RETURN(const Tensor fitness, FitnessOf(batch));
    const Tensor ranks = CentredRanks(fitness, batch.environments);
    // Pairs of opposite perturbations in eight parts or fewer.
    const int64_t size = 2 * ((lifetimes_ / 2 + 7) / 8);
    std::vector<ShardGradient> parts;
    for (int64_t begin = 0; begin < lifetimes_; begin += size) {
      const int64_t count = std::min(size, lifetimes_ - begin);
      const auto first = static_cast<uint32_t>(outer_step * lifetimes_ + begin);
      parts.push_back({count, static_cast<double>(count) *
                                  EvolutionGradient(ranks.narrow(0, begin, count), config_.sigma,
                                                    seed_, first, weights_.numel())});
    }
    RuleReport report = {{"fitness_mean", fitness.mean().item<double>()},
                         {"fitness_std", fitness.std().item<double>()}};
    const Tensor gradient = ReportGradient(parts, &report);
    Tensor weights = weights_.clone();
    AdamState adam{adam_.m.clone(), adam_.v.clone(), adam_.step};
    EvolutionStep(config_, gradient, weights, &adam);
    if (!weights.isfinite().all().item<bool>())
      return absl::InternalError("the weights after the outer update are not finite");
    report["step_norm"] = (weights - weights_).norm().item<double>();
    report["weights_norm"] = weights.norm().item<double>();
    weights_ = std::move(weights);
    adam_ = std::move(adam);
    return report;
  }

  // [F] float64: what a lifetime achieved in its last inner iteration, after all its updates.
  absl::StatusOr<Tensor> FitnessOf(const LifetimeBatch& batch) const {
    const Tensor& outcomes = success_ ? batch.steps.success_signals : batch.steps.shaped_rewards;
    if (!outcomes.defined() || outcomes.sizes() != at::IntArrayRef{lifetimes_, lifetime_steps_} ||
        batch.environments.size() != static_cast<size_t>(lifetimes_)) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "the outer update's outcomes are %s of %d environments, expected [%d, %d]",
          outcomes.defined() ? c10::str(outcomes.sizes()) : "missing", batch.environments.size(),
          lifetimes_, lifetime_steps_));
    }
    const int64_t last = batch.steps_per_iteration;
    const Tensor fitness =
        outcomes.narrow(1, lifetime_steps_ - last, last).to(torch::kFloat64).sum(1);
    const Tensor finite = fitness.isfinite();
    if (finite.all().item<bool>()) return fitness;
    return absl::InvalidArgumentError(
        absl::StrFormat("the fitness of lifetime %d is not finite",
                        finite.logical_not().nonzero()[0].item<int64_t>()));
  }

  // Fixed after construction.
  const uint64_t seed_;
  const int64_t lifetimes_, lifetime_steps_;  // F, L
  const bool success_;
  EvolutionConfig config_;
  // Changed by Update and Load, as a whole or not at all.
  Tensor weights_;  // [Q] float32; replaced, never written to
  AdamState adam_;
};

void Check(const RuleContext& context, Violations* violations) {
  const v1::ExperimentSpec& spec = context.spec;
  if (spec.rule().lifetimes_per_update() % 2 != 0) {
    violations->Add("rule.lifetimes_per_update",
                    absl::StrFormat("is %d; evolution strategies try each perturbation with both "
                                    "signs, in two lifetimes: give an even number",
                                    spec.rule().lifetimes_per_update()));
  }
  if (spec.lifetime().iterations() < 2) {
    violations->Add("lifetime.iterations",
                    "is 1; an agent learns after all iterations but the last, so no signal would "
                    "reach an update; give at least 2");
  }
  if (context.network == nullptr) {
    violations->Add("signal",
                    "is missing; evolution strategies change a signal network, so name one");
  } else if (context.network->needs_values()) {
    violations->Add("signal.name",
                    absl::StrFormat("is '%s', which reads the values of the agents' critics; the "
                                    "agents of evolution strategies have none beside a learned "
                                    "advantage: take rule meta_gradient, or another network",
                                    spec.signal().name()));
  }
}

MetricTable Metrics() {
  MetricTable metrics = GradientMetrics();
  metrics.insert(metrics.end(),
                 {{.name = "fitness_mean", .help = "Mean fitness of the lifetimes."},
                  {.name = "fitness_std", .help = "Standard deviation of the lifetimes' fitness."},
                  {.name = "step_norm", .help = "How far the weights moved.", .log_scale = true},
                  {.name = "weights_norm", .help = "Norm of the weights after the step."}});
  return metrics;
}

OptionTable Options() {
  OptionTable options = AdamOptions("0.01", "1e-8");
  options.insert(
      options.end(),
      {NumberOption("weight_decay", "0.005", 0, 10, "Times the weights, added to the gradient."),
       ChoiceOption("fitness", {"shaped", "success"},
                    "What ranks a lifetime among those on the same environment: the sum of shaped "
                    "rewards or of success signals in its last inner iteration.")});
  return options;
}

const RegisterRule kEvolutionStrategies({
    .name = "evolution_strategies",
    .summary = "Perturbed signal networks, ranked by what their agents achieve (Salimans et al.)",
    .inner_loop = "perturbed_ppo",
    .options = Options(),
    .metrics = Metrics(),
    .make = [](const RuleContext& context, const OptionValues& options,
               Violations* violations) -> std::unique_ptr<OuterRule> {
      Check(context, violations);
      if (!violations->empty()) return nullptr;
      return std::make_unique<EvolutionStrategies>(context, options);
    },
});

}  // namespace
}  // namespace mentor::meta_learner
