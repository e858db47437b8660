// Evolution strategies on the signal network (Salimans et al. 2017;
// methods/evolution_strategies/README.md). Weights phi + sigma eps_i teach one lifetime of a pair,
// phi - sigma eps_i the other, and
//   g = 1/(F sigma) sum_i rank(fitness_i) (+-eps_i),   phi <- Adam(phi, -g + decay phi).
// Only outcomes are needed, no density and no gradient, so any signal network will do.
#include "methods/shared/evolution_strategies.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include <absl/strings/str_format.h>

#include "common/check.h"

namespace mentor::methods {

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

Tensor StandardScores(const Tensor& fitness, const std::vector<std::string>& groups) {
  constexpr double kFloor = 1e-10;
  const Tensor values = fitness.to(torch::kFloat64).contiguous();
  const double* value = values.const_data_ptr<double>();
  MENTOR_CHECK(values.numel() == static_cast<int64_t>(groups.size()));
  struct Group {
    double size = 0, sum = 0, squares = 0;
  };
  std::map<std::string, Group> of;
  for (size_t i = 0; i < groups.size(); ++i) {
    Group& group = of[groups[i]];
    group.size += 1;
    group.sum += value[i];
  }
  const auto less_mean = [&](size_t i) {
    const Group& group = of.at(groups[i]);
    return value[i] - group.sum / group.size;
  };
  for (size_t i = 0; i < groups.size(); ++i) of[groups[i]].squares += less_mean(i) * less_mean(i);
  Tensor scores = torch::zeros_like(values);
  double* score = scores.mutable_data_ptr<double>();
  for (size_t i = 0; i < groups.size(); ++i) {
    const Group& group = of.at(groups[i]);
    score[i] = less_mean(i) / (std::sqrt(group.squares / group.size) + kFloor);
  }
  return scores;
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
    gradient += (weight[i] - weight[i + 1]) *
                PairPerturbation(seed, PairOf(lifetime), size).to(torch::kFloat64);
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

namespace {

class EvolutionRule : public TrainedRule {
 public:
  EvolutionRule(const RuleContext& context, const EvolutionSettings& settings)
      : TrainedRule(context, context.InitialNetwork()),
        settings_(settings),
        lifetimes_(context.lifetimes()),
        lifetime_steps_(context.iterations() * context.steps()) {}

  RuleNeeds needs() const override {
    using Alike = RuleNeeds::Alike;
    return {.segments = false, .alike = settings_.paired ? Alike::kPairs : Alike::kNone};
  }

 private:
  absl::StatusOr<RuleReport> DoUpdate(const LifetimeBatch& batch, uint32_t outer_step) override {
    MENTOR_ASSIGN_OR_RETURN(const Tensor fitness, FitnessOf(batch));
    const Tensor ranks = settings_.standard_scores ? StandardScores(fitness, batch.environments)
                                                   : CentredRanks(fitness, batch.environments);
    const EvolutionConfig config = ConfigOf(outer_step);
    // At most eight parts of whole pairs of opposite perturbations.
    const int64_t size = 2 * ((lifetimes_ / 2 + 7) / 8);
    std::vector<ShardGradient> parts;
    for (int64_t begin = 0; begin < lifetimes_; begin += size) {
      const int64_t count = std::min(size, lifetimes_ - begin);
      const auto first = static_cast<uint32_t>(outer_step * lifetimes_ + begin);
      parts.push_back(
          {count, static_cast<double>(count) * EvolutionGradient(ranks.narrow(0, begin, count),
                                                                 config.sigma, context_.spec.seed(),
                                                                 first, weights_.numel())});
    }
    RuleReport report = {{"fitness_mean", fitness.mean().item<double>()},
                         {"fitness_std", fitness.std().item<double>()}};
    if (const auto correlation = PairCorrelation(fitness, batch.environments))
      report["pair_correlation"] = *correlation;
    const Tensor gradient = ReportGradient(parts, &report);
    Tensor weights = weights_.clone();
    AdamState adam{adam_.m.clone(), adam_.v.clone(), adam_.step};
    EvolutionStep(config, gradient, weights, &adam);
    if (!weights.isfinite().all().item<bool>())
      return absl::InternalError("the weights after the outer update are not finite");
    report["step_norm"] = (weights - weights_).norm().item<double>();
    report["weights_norm"] = weights.norm().item<double>();
    weights_ = std::move(weights);
    adam_ = std::move(adam);
    return report;
  }

  EvolutionConfig ConfigOf(uint32_t outer_step) const {
    EvolutionConfig config = settings_.config;
    config.adam = Annealed(config.adam, settings_.anneal, outer_step, context_.outer_updates());
    config.adam.learning_rate = Decayed(config.adam.learning_rate, settings_.rate, outer_step);
    config.sigma = Decayed(config.sigma, settings_.sigma, outer_step);
    return config;
  }

  // [F] float64: what each lifetime achieved in its last inner iteration, after all its updates.
  absl::StatusOr<Tensor> FitnessOf(const LifetimeBatch& batch) const {
    const Tensor& outcomes =
        settings_.success ? batch.steps.success_signals : batch.steps.shaped_rewards;
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
  const EvolutionSettings settings_;
  const int64_t lifetimes_, lifetime_steps_;  // F, L
};

}  // namespace

void CheckEvolution(const RuleContext& context, Violations* violations) {
  const v1::ExperimentSpec& spec = context.spec;
  if (spec.rule().lifetimes_per_update() % 2 != 0) {
    violations->Add("rule.lifetimes_per_update",
                    absl::StrFormat("is %d; evolution strategies try each perturbation with both "
                                    "signs, in two lifetimes: give an even number",
                                    spec.rule().lifetimes_per_update()));
  }
  if (context.iterations() < 2) {
    violations->Add("lifetime.iterations",
                    "is 1; an agent learns after all iterations but the last, so no signal would "
                    "reach an update; give at least 2");
  }
  if (context.network == nullptr) {
    violations->Add("signal",
                    "is missing; evolution strategies change a signal network, so name one");
  } else if (const auto* signals = context.network->signals();
             signals != nullptr && signals->needs_values()) {
    violations->Add("signal.name",
                    absl::StrFormat("is '%s', which reads the values of the agents' critics; the "
                                    "agents of evolution strategies have none beside a learned "
                                    "advantage: take rule meta_gradient, or another network",
                                    spec.signal().name()));
  }
}

MetricTable EvolutionMetrics() {
  MetricTable metrics = GradientMetrics();
  metrics.insert(metrics.end(),
                 {{.name = "fitness_mean", .help = "Mean fitness of the lifetimes."},
                  {.name = "fitness_std", .help = "Standard deviation of the lifetimes' fitness."},
                  {.name = "pair_correlation",
                   .help = "Correlation of the two fitnesses of a pair, each less the mean of its "
                           "environment."},
                  {.name = "step_norm", .help = "How far the weights moved.", .log_scale = true},
                  {.name = "weights_norm", .help = "Norm of the weights after the step."}});
  return metrics;
}

BoundOptions<EvolutionSettings> EvolutionOptions(const EvolutionDefaults& defaults) {
  return Bind<EvolutionSettings>(
      {{In(&EvolutionSettings::config, &EvolutionConfig::adam),
        AdamOptions(defaults.learning_rate, "1e-8", defaults.adam_beta1)},
       {In(&EvolutionSettings::config, &EvolutionConfig::weight_decay), "weight_decay",
        defaults.weight_decay, 0, 10, "Times the weights, added to the gradient."},
       {&EvolutionSettings::anneal, "anneal", defaults.anneal, 0, 1, kAnnealHelp},
       {&EvolutionSettings::paired, "paired_noise", true,
        "The two lifetimes of a perturbation have one task, one initial policy and one sequence of "
        "chances, so that only the sign sets them apart."},
       {&EvolutionSettings::success,
        "fitness",
        {{"shaped", false}, {"success", true}},
        "What ranks a lifetime among those on the same environment: the sum of shaped rewards or "
        "of success signals in its last inner iteration."}});
}

std::unique_ptr<OuterRule> MakeEvolutionRule(const RuleContext& context,
                                             EvolutionSettings settings) {
  settings.config.sigma = PerturbationOptions().Read(context.options);
  return std::make_unique<EvolutionRule>(context, settings);
}

}  // namespace mentor::methods
