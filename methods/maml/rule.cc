// MAML (Finn et al. 2017) with the settings of methods/maml/README.md#maml. The meta-parameters are
// the initial weights of a policy, which a few policy-gradient steps on the success signal adapt to
// a task. The outer step is TRPO on the steps of the adapted policies; first order by default
// (methods/maml/README.md#reading-first-order).
#include <torch/types.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "common/check.h"
#include "methods/base/outer_rule.h"
#include "methods/maml/loop.h"
#include "methods/maml/objective.h"
#include "methods/shared/adapted_lives.h"
#include "methods/shared/reward_normaliser.h"
#include "methods/shared/trpo.h"

namespace mentor::methods::maml_rule {
namespace {

using torch::Tensor;

enum class Objective { kShaped, kRaw, kSuccess };

struct MamlConfig {
  AdaptationConfig adaptation;
  TrpoConfig trpo = {};
  bool first_order = true;
  Objective objective = Objective::kShaped;
  double target_mean = 0.1;
  int64_t mean_lifetimes = 60;
  // From the experiment's spec.
  int64_t lifetimes = 30;  // N
  int64_t iterations = 4;
  int64_t steps_per_iteration = 2000;  // T
  uint64_t seed = 1;

  int64_t lifetime_steps() const { return iterations * steps_per_iteration; }          // L
  int64_t adaptation_steps() const { return adaptation.steps * steps_per_iteration; }  // K T
};

const auto kOptions = Bind<MamlConfig>(
    {{&MamlConfig::first_order, "first_order", true,
      "Treat the adaptation's derivative as the identity; false: differentiate through it."},
     {&MamlConfig::objective,
      "objective",
      {{"shaped", Objective::kShaped}, {"raw", Objective::kRaw}, {"success", Objective::kSuccess}},
      "What adapted policies maximise: the shaped reward normalised to target_mean, the shaped "
      "reward as it is (which may be negative), or the success signal."},
     {&MamlConfig::target_mean, "target_mean", "0.1", 1e-30, 1e30,
      "Mean of the normalised shaped reward, and baseline reward of the objective; root mean "
      "square of that reward where its mean is near 0 or negative."},
     {&MamlConfig::mean_lifetimes, "mean_lifetimes", "60", 1, 1e6,
      "Lifetimes whose mean adaptation reward is the baseline of the next ones."},
     {&MamlConfig::trpo, TrpoOptions()}});

MamlConfig ReadConfig(const RuleContext& context) {
  return kOptions.Read(context.options,
                       {.adaptation = ReadAdaptation(context.options, context.shape),
                        .lifetimes = context.lifetimes(),
                        .iterations = context.iterations(),
                        .steps_per_iteration = context.steps(),
                        .seed = context.spec.seed()});
}

class Maml : public OuterRule {
 public:
  explicit Maml(const RuleContext& context)
      : OuterRule(context), config_(ReadConfig(context)), policy_(config_.adaptation.policy) {
    weights_ = context.Initial(policy_.layout().size(), [&] {
      return policy_.InitialWeights({.seed = config_.seed, .purpose = Purpose::kAgentWeights});
    });
    recent_ = torch::zeros({0}, torch::kFloat64);
  }

  RuleNeeds needs() const override { return {.network = RuleNeeds::Network::kNone}; }

  // Weights and the mean adaptation reward (methods/maml/loop.h).
  Tensor meta_parameters() const override {
    return torch::cat({weights_, torch::full({1}, MeanReward(), torch::kFloat32)});
  }

  RuleSizes Sizes() const override {
    const int64_t size = weights_.numel() + 1,
                  begin = config_.first_order ? config_.adaptation_steps() : 0;
    return SizesOverLifetimes(
        size, config_.lifetimes, /*kept=*/size,
        (config_.lifetime_steps() - begin) * GraphNumbersPerStep(config_.adaptation.policy),
        /*twice=*/true);
  }

  void State(StateFields* fields) override {
    fields->Add("weights", &weights_);
    fields->AddPart(
        [this](TensorMap* state) {
          (*state)["recent_rewards"] = recent_.clone();
          if (keeps_successes()) (*state)["recent_successes"] = recent_successes_.clone();
          normaliser_.Save(state);
        },
        [this](const TensorMap& state) { return LoadRewards(state); });
  }

 private:
  // The recent means, fewer where the spec wants fewer, and the normaliser.
  absl::Status LoadRewards(const TensorMap& state) {
    MENTOR_ASSIGN_OR_RETURN(Tensor recent, ReadRecent(state, "recent_rewards"));
    Tensor successes = NoRecent();
    if (keeps_successes()) {
      MENTOR_ASSIGN_OR_RETURN(successes, ReadRecent(state, "recent_successes"));
    }
    MENTOR_RETURN_IF_ERROR(normaliser_.Load(state));
    recent_ = std::move(recent);
    recent_successes_ = std::move(successes);
    return absl::OkStatus();
  }
  absl::StatusOr<Tensor> ReadRecent(const TensorMap& state, const std::string& name) const {
    const auto found = state.find(name);
    const int64_t count = found != state.end() && found->second.dim() == 1
                              ? std::min(found->second.numel(), config_.mean_lifetimes)
                              : 0;
    return ReadTensor(state, name, {count}, torch::kFloat64, "the rule");
  }
  static Tensor NoRecent() { return torch::zeros({0}, torch::kFloat64); }

  // The newest of `recent` and these means of lifetimes.
  Tensor WithNew(const Tensor& recent, const Tensor& means) const {
    const Tensor all = torch::cat({recent, means});
    const int64_t kept = std::min(all.numel(), config_.mean_lifetimes);
    return all.narrow(0, all.numel() - kept, kept).clone();
  }

  // The objective needs the mean of what it maximises, also where agents adapt to another reward.
  bool keeps_successes() const {
    return config_.objective == Objective::kSuccess && config_.adaptation.shaped;
  }
  static double MeanOf(const Tensor& recent) {
    return recent.numel() > 0 ? recent.mean().item<double>() : 0;
  }
  double MeanReward() const { return MeanOf(recent_); }

  // The rewards that lifetime i maximises, [L] float64, and the reward of its baseline.
  std::pair<Tensor, double> ObjectiveOf(const LifetimeBatch& batch, int64_t i,
                                        const RewardNormaliser& normaliser) const {
    const std::string& environment = batch.environments[i];
    switch (config_.objective) {
      case Objective::kShaped:
        return {
            normaliser.Normalise(environment, batch.steps.shaped_rewards[i], config_.target_mean),
            normaliser.NormalisedMean(environment, config_.target_mean)};
      case Objective::kRaw:
        return {batch.steps.shaped_rewards[i], normaliser.Mean(environment)};
      case Objective::kSuccess:
        break;
    }
    return {batch.steps.success_signals[i].to(torch::kFloat64),
            keeps_successes() ? MeanOf(recent_successes_) : MeanReward()};
  }

  MamlLifetime LifetimeOf(const LifetimeBatch& batch, int64_t i,
                          const RewardNormaliser& normaliser) const {
    MamlLifetime lifetime;
    const int64_t steps = config_.steps_per_iteration, begin = config_.adaptation_steps();
    // The float that the agents knew.
    const double mean_reward = static_cast<float>(MeanReward());
    for (int64_t k = 0; k < config_.adaptation.steps; ++k) {
      lifetime.adaptation.push_back(
          AdaptationData(config_.adaptation, batch.steps, i, k * steps, steps, mean_reward));
    }
    const auto adapted = [&](const Tensor& x) {
      return x.narrow(0, begin, config_.lifetime_steps() - begin).clone();
    };
    const auto [rewards, baseline] = ObjectiveOf(batch, i, normaliser);
    lifetime.meta = {
        .observations = adapted(batch.steps.observations[i]),
        .actions = adapted(batch.steps.actions[i]),
        .advantages = MonteCarloAdvantages(adapted(rewards), adapted(batch.steps.prev_done[i]),
                                           config_.adaptation.gamma, baseline)
                          .advantages.to(torch::kFloat32),
        .old_log_probs = {}};
    return lifetime;
  }

  absl::StatusOr<RuleReport> DoUpdate(const LifetimeBatch& batch, uint32_t) override {
    MENTOR_RETURN_IF_ERROR(CheckLives(batch, config_.lifetimes, config_.lifetime_steps()));
    RewardNormaliser normaliser = normaliser_;
    for (int64_t i = 0; i < config_.lifetimes; ++i)
      normaliser.Add(batch.environments[i], batch.steps.shaped_rewards[i]);
    if (config_.objective == Objective::kShaped)
      normaliser.AddSquares(batch.environments, batch.steps.shaped_rewards);

    std::vector<MamlLifetime> lifetimes;
    for (int64_t i = 0; i < config_.lifetimes; ++i)
      lifetimes.push_back(LifetimeOf(batch, i, normaliser));
    MamlObjective objective(config_.adaptation, config_.first_order, weights_, std::move(lifetimes),
                            context_.pool);
    MENTOR_RETURN_IF_ERROR(objective.Prepare());
    RuleReport report;
    // This adaptation must equal the agents': their actors saw the same densities.
    MENTOR_ASSIGN_OR_RETURN(report["rho_error"],
                            CheckedRho(batch, config_.adaptation_steps(),
                                       [&](int64_t i) { return objective.log_probs(i); }));

    TrpoProblem problem;
    MENTOR_ASSIGN_OR_RETURN(problem.gradient, objective.Gradient());
    MENTOR_ASSIGN_OR_RETURN(const TrpoValue here,
                            objective.Evaluate(torch::zeros_like(problem.gradient)));
    problem.loss = here.loss;
    problem.hessian_vector = [&](const Tensor& v) { return objective.HessianVector(v); };
    problem.evaluate = [&](const Tensor& d) { return objective.Evaluate(d); };
    if (!problem.gradient.isfinite().all().item<bool>())
      return absl::InternalError("the outer gradient is not finite");
    MENTOR_ASSIGN_OR_RETURN(const TrpoResult result, RunTrpo(config_.trpo, problem));

    const double alpha = result.alpha.value_or(0);
    const Tensor weights = (weights_.to(torch::kFloat64) - alpha * result.step).to(torch::kFloat32);
    if (!weights.isfinite().all().item<bool>())
      return absl::InternalError("the weights after the outer step are not finite");
    report["outer_grad_norm"] = problem.gradient.norm().item<double>();
    report["step_length"] = alpha * result.step.norm().item<double>();
    report["alpha"] = alpha;
    report["line_search_tries"] = static_cast<double>(result.tries.size());
    report["surrogate"] = result.alpha ? result.tries.back().value.loss : problem.loss;
    report["kl"] = result.alpha ? result.tries.back().value.kl : 0;
    report["mean_adaptation_reward"] = MeanReward();
    normaliser.AddTo(&report);

    const Tensor means =
        AdaptationRewards(config_.adaptation, batch.steps).to(torch::kFloat64).mean(/*dim=*/1);
    weights_ = weights;
    recent_ = WithNew(recent_, means);
    if (keeps_successes()) {
      recent_successes_ =
          WithNew(recent_successes_, batch.steps.success_signals.to(torch::kFloat64).mean(1));
    }
    normaliser_ = std::move(normaliser);
    return report;
  }

  // Fixed after construction.
  const MamlConfig config_;
  const StateStdPolicy policy_;
  // Update and Load change both or neither.
  Tensor weights_;  // [P] float32; replaced, never written to
  Tensor recent_;   // [up to mean_lifetimes] float64: adaptation rewards of lifetimes, oldest first
  Tensor recent_successes_ = NoRecent();  // The same of success signals, if keeps_successes().
  RewardNormaliser normaliser_;
};

MetricTable Metrics() {
  using Panel = MetricInfo::Panel;
  MetricTable metrics = {
      {.name = "step_length", .help = "Length of the step taken; 0 when none was."},
      {.name = "alpha", .help = "What the line search left of the trust region's step."},
      {.name = "line_search_tries", .help = "Steps tried."},
      {.name = "surrogate", .help = "Outer loss after the step."},
      {.name = "kl",
       .unit = "nat",
       .help = "Divergence of the adapted policies after the step from those before.",
       .label = "KL divergence",
       .panel = Panel::kOwn},
      {.name = "rho_error",
       .help = "Greatest difference from 1 of the density ratio of meta-learner and actor."},
      {.name = "mean_adaptation_reward",
       .help = "Mean reward a step of recent lifetimes, the baseline of adaptation."},
      {.name = "reward_mean/*",
       .help = "Running mean of the shaped reward of one environment.",
       .panel = Panel::kNone},
      {.name = "reward_rms/*",
       .help = "Running root mean square of the shaped reward of one environment that is "
               "normalised by it, since its mean was near 0 or negative.",
       .panel = Panel::kNone}};
  // Only the norm: the parts of the gradient are not known.
  metrics.push_back(GradientMetrics()[0]);
  return metrics;
}

const RegisterRule kMaml({
    .name = "maml",
    .summary = "Initial policy weights that a few policy-gradient steps adapt (Finn et al.)",
    .inner_loop = "adaptation",
    .options = kOptions.table(),
    .metrics = Metrics(),
    .check =
        [](const RuleContext& context, Violations* violations) {
          CheckAdaptation(ReadConfig(context).adaptation, context.spec, violations);
        },
    .make = MadeRule<Maml>,
});

}  // namespace
}  // namespace mentor::methods::maml_rule
