// The black-box outer rule of Pappalardo, Ramele and Santos: the signal network is a policy whose
// environment is the learning agent, trained by PPO over whole lifetimes (black_box.md sections 6
// to 9 and 11). First order only: nothing is differentiated through the agent's updates.
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/cpu_time.h"
#include "learner/agents/worker_pool.h"
#include "meta_learner/rules/meta_advantage.h"
#include "meta_learner/rules/outer_ppo_rule.h"
#include "meta_learner/rules/outer_rule.h"
#include "meta_learner/rules/reward_normaliser.h"

namespace mentor::meta_learner {
namespace {

using torch::Tensor;

struct BlackBoxConfig {
  OuterPpoConfig ppo;
  MetaAdvantageConfig advantage;
  bool zero_prev_at_cut = false;  // Reading B1.
  bool shaped_objective = true;
  double target_mean = 1e-4;
  // Of the experiment.
  int64_t lifetimes = 30;
  int64_t iterations = 3;
  int64_t steps_per_iteration = 2000;  // T

  int64_t lifetime_steps() const { return iterations * steps_per_iteration; }       // L
  int64_t trained_steps() const { return lifetime_steps() - steps_per_iteration; }  // n
};

using Kind = OptionInfo::Kind;

OptionTable Options() {
  OptionTable options = OuterPpoOptions(
      {.learning_rate = "5e-5",
       .entropy_coef = "0.003",
       .target_kl = "0.01",
       .epochs = "12",
       .entropy_help = "Weight of the entropy bonus (0.0005 for ML10 and the advantage role)."});
  options.insert(
      options.end(),
      {{.name = "zero_prev_at_cut",
        .kind = Kind::kFlag,
        .default_value = "false",
        .help = "Feed 0 instead of the previous signal at the first step of each piece, as the "
                "authors' code does."},
       {.name = "objective",
        .kind = Kind::kChoice,
        .default_value = "shaped",
        .choices = {"shaped", "success"},
        .help = "What the signal network maximises: the normalised shaped reward or the sparse "
                "success signal."},
       {.name = "target_mean",
        .default_value = "1e-4",
        .min = 1e-30,
        .max = 1e30,
        .help = "Mean of the normalised shaped reward."},
       {.name = "estimator",
        .kind = Kind::kChoice,
        .default_value = "skipping",
        .choices = {"skipping", "bootstrapping", "mc", "mc_skipping", "gae"},
        .help = "Meta-advantage; those with skipping leave out the rewards before the next "
                "update."},
       {.name = "gamma",
        .default_value = "0.9",
        .min = 0,
        .max = 1,
        .help = "Discount of the meta-advantage per episode (estimator gae: per step)."},
       {.name = "lambda",
        .default_value = "0.85",
        .min = 0,
        .max = 1,
        .help = "Weight of an n-step estimate relative to the one before."},
       {.name = "starting_n",
        .kind = Kind::kInteger,
        .default_value = "0",
        .min = 0,
        .max = 1e9,
        .help = "Smallest n of the n-step estimates; 0: 1.1 steps_per_iteration."},
       {.name = "num_n_step_estimates",
        .kind = Kind::kInteger,
        .default_value = "6",
        .min = 1,
        .max = 10000,
        .help = "Number of n-step estimates."},
       {.name = "skip_rate",
        .kind = Kind::kInteger,
        .default_value = "0",
        .min = 0,
        .max = 1e9,
        .help = "Distance between their n; 0: 0.15 steps_per_iteration."}});
  return options;
}

BlackBoxConfig ReadConfig(const v1::ExperimentSpec& spec, const OptionValues& options) {
  BlackBoxConfig config;
  config.lifetimes = spec.rule().lifetimes_per_update();
  config.iterations = spec.lifetime().iterations();
  config.steps_per_iteration = spec.lifetime().steps_per_iteration();
  config.shaped_objective = options.Choice("objective") == "shaped";
  config.target_mean = options.Number("target_mean");
  config.ppo = ReadOuterPpo(options);
  config.zero_prev_at_cut = options.Flag("zero_prev_at_cut");
  const auto share = [&](const char* name, double of_segment) {
    const int64_t value = options.Integer(name);
    if (value > 0) return value;
    return std::max<int64_t>(
        1, std::llround(of_segment * static_cast<double>(config.steps_per_iteration)));
  };
  config.advantage = {.estimator = MetaEstimatorFromName(options.Choice("estimator")),
                      .steps_per_iteration = config.steps_per_iteration,
                      .gamma = options.Number("gamma"),
                      .lambda = options.Number("lambda"),
                      .starting_n = share("starting_n", 1.1),
                      .num_estimates = options.Integer("num_n_step_estimates"),
                      .skip_rate = share("skip_rate", 0.15)};
  return config;
}

// What no single option shows.
void CheckConfig(const BlackBoxConfig& config, Violations* violations) {
  if (config.iterations < 2) {
    violations->Add("lifetime.iterations",
                    absl::StrFormat("is %d; the signals of the last iteration reach no update, so "
                                    "the black-box rule needs at "
                                    "least 2; give more iterations",
                                    config.iterations));
    return;
  }
  const int64_t trained = config.trained_steps();
  CheckPieces(config.ppo, trained, "all but the last iteration", violations);
  const int64_t invalid = FirstInvalidStep(config.advantage, config.lifetime_steps(), trained);
  if (invalid >= 0) {
    violations->Add(
        "rule.option.starting_n",
        absl::StrFormat("is %d with skip_rate %d and %d estimates; step %d of the %d trained steps "
                        "of a lifetime then has no "
                        "meta-advantage (t + n must stay below %d and n exceed the %d steps to the "
                        "next iteration); give 0 for "
                        "values that fit steps_per_iteration, or more estimates",
                        config.advantage.starting_n, config.advantage.skip_rate,
                        config.advantage.num_estimates, invalid, trained, config.lifetime_steps(),
                        config.steps_per_iteration - invalid % config.steps_per_iteration));
  }
}

// Of this thread, and of pools on its behalf.
double CpuSeconds() {
  return ThreadCpuSeconds() + learner::WorkerPool::CallerCpuSeconds();
}

class BlackBox : public OuterRule {
 public:
  BlackBox(const RuleContext& context, const OptionValues& options, BlackBoxConfig config)
      : config_(std::move(config)),
        network_(context.network),
        trainer_(options, context.spec.seed(), network_->InitialWeights(context.spec.seed()),
                 context.num_threads) {}

  RuleNeeds needs() const override { return {}; }
  Tensor meta_parameters() const override { return trainer_.weights(); }

  TensorMap Save() const override {
    TensorMap state;
    trainer_.Save(&state);
    normaliser_.Save(&state);
    return state;
  }

  absl::Status Load(const TensorMap& state) override {
    RewardNormaliser normaliser = normaliser_;
    MENTOR_RETURN_IF_ERROR(normaliser.Load(state));
    MENTOR_RETURN_IF_ERROR(trainer_.Load(state));
    normaliser_ = std::move(normaliser);
    return absl::OkStatus();
  }

 private:
  absl::Status CheckBatch(const LifetimeBatch& batch) const {
    const int64_t lifetimes = config_.lifetimes, steps = config_.lifetime_steps();
    if (static_cast<int64_t>(batch.environments.size()) != lifetimes ||
        batch.steps_per_iteration != config_.steps_per_iteration) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "the outer update has %d lifetimes of iterations of %d steps, expected %d of %d",
          batch.environments.size(), batch.steps_per_iteration, lifetimes,
          config_.steps_per_iteration));
    }
    const learner::Segment& x = batch.steps;
    MENTOR_RETURN_IF_ERROR(CheckTensor("observations", x.observations, lifetimes, steps, 3));
    MENTOR_RETURN_IF_ERROR(CheckTensor("actions", x.actions, lifetimes, steps, 3));
    const std::pair<const char*, const Tensor*> scalars[] = {
        {"log_probs", &x.log_probs},
        {"shaped_rewards", &x.shaped_rewards},
        {"success_signals", &x.success_signals},
        {"prev_done", &x.prev_done},
        {"signals", &x.signals},
        {"signal_log_probs", &x.signal_log_probs},
        {"signal_values", &x.signal_values}};
    for (const auto& [name, tensor] : scalars) {
      MENTOR_RETURN_IF_ERROR(CheckTensor(name, *tensor, lifetimes, steps, 2));
    }
    return CheckPrevDone(x.prev_done);
  }

  // Advantages and returns [N, n], not standardised.
  std::pair<Tensor, Tensor> MetaAdvantagesOf(const LifetimeBatch& batch,
                                             const RewardNormaliser& normaliser) const {
    const int64_t lifetimes = config_.lifetimes, steps = config_.lifetime_steps(),
                  trained = config_.trained_steps();
    Tensor advantages = torch::empty({lifetimes, trained}, torch::kFloat64),
           returns = torch::empty_like(advantages);
    const Tensor values = batch.steps.signal_values.to(torch::kFloat64).contiguous();
    const Tensor prev_done = batch.steps.prev_done.to(torch::kUInt8).contiguous();
    const auto length = static_cast<size_t>(steps);
    for (int64_t l = 0; l < lifetimes; ++l) {
      const Tensor rewards =
          (config_.shaped_objective
               ? normaliser.Normalise(batch.environments[l], batch.steps.shaped_rewards[l],
                                      config_.target_mean)
               : batch.steps.success_signals[l].to(torch::kFloat64))
              .contiguous();
      const MetaAdvantages estimate =
          EstimateMetaAdvantages(config_.advantage, {rewards.const_data_ptr<double>(), length},
                                 {values.const_data_ptr<double>() + l * steps, length},
                                 {prev_done.const_data_ptr<uint8_t>() + l * steps, length});
      // The last segment is cut off before anything is reduced: its steps have no estimate.
      MENTOR_CHECK(std::all_of(estimate.valid.begin(), estimate.valid.begin() + trained,
                               [](uint8_t v) { return v; }));
      std::copy_n(estimate.advantages.begin(), trained,
                  advantages.mutable_data_ptr<double>() + l * trained);
      std::copy_n(estimate.returns.begin(), trained,
                  returns.mutable_data_ptr<double>() + l * trained);
    }
    return {advantages, returns};
  }

  learner::Segment TrainedSteps(const learner::Segment& all) const {
    learner::Segment trained;
    for (auto member : {&learner::Segment::observations, &learner::Segment::actions,
                        &learner::Segment::log_probs, &learner::Segment::shaped_rewards,
                        &learner::Segment::success_signals, &learner::Segment::prev_done,
                        &learner::Segment::signals, &learner::Segment::signal_log_probs}) {
      trained.*member = (all.*member).narrow(1, 0, config_.trained_steps());
    }
    return trained;
  }

  absl::StatusOr<RuleReport> DoUpdate(const LifetimeBatch& batch, uint32_t outer_step) override {
    const double cpu_begin = CpuSeconds();
    MENTOR_RETURN_IF_ERROR(CheckBatch(batch));
    RewardNormaliser normaliser = normaliser_;
    if (config_.shaped_objective) {
      for (int64_t l = 0; l < config_.lifetimes; ++l)
        normaliser.Add(batch.environments[l], batch.steps.shaped_rewards[l]);
      MENTOR_RETURN_IF_ERROR(normaliser.Check());
    }
    const auto [advantages, returns] = MetaAdvantagesOf(batch, normaliser);
    OuterPpoBatch ppo_batch = MakeOuterPpoBatch(*network_, TrainedSteps(batch.steps), advantages,
                                                returns, config_.zero_prev_at_cut);
    MENTOR_RETURN_IF_ERROR(
        CheckTensor("input of the signal network (the density of an action may be too great)",
                    ppo_batch.features, config_.lifetimes, config_.trained_steps(), 3));
    MENTOR_ASSIGN_OR_RETURN(RuleReport report,
                            trainer_.Update(*network_, std::move(ppo_batch), outer_step));
    normaliser_ = std::move(normaliser);
    for (const auto& [environment, statistics] : normaliser_.statistics()) {
      report[absl::StrCat("reward_mean/", environment)] = normaliser_.Mean(environment);
    }
    report["outer_seconds"] = CpuSeconds() - cpu_begin;
    return report;
  }

  // Fixed after construction.
  const BlackBoxConfig config_;
  const std::shared_ptr<const learner::SignalNetwork> network_;
  // Changed by Update and Load, as a whole or not at all.
  OuterPpoTrainer trainer_;
  RewardNormaliser normaliser_;
};

const RegisterRule kBlackBox({
    .name = "black_box",
    .summary = "PPO over whole lifetimes, first order (Pappalardo, Ramele and Santos)",
    .options = Options(),
    .make = [](const RuleContext& context, const OptionValues& options,
               Violations* violations) -> std::unique_ptr<OuterRule> {
      BlackBoxConfig config = ReadConfig(context.spec, options);
      CheckConfig(config, violations);
      if (!context.network)
        violations->Add("signal",
                        "is missing; the black-box rule trains a signal network, so name one");
      else if (!context.network->has_density())
        violations->Add(
            "signal.name",
            absl::StrCat("is '", context.spec.signal().name(),
                         "', whose signals have no density; the black-box rule samples "
                         "them: take lstm, mlp with option density, or a rule by gradient"));
      if (!violations->empty()) return nullptr;
      return std::make_unique<BlackBox>(context, options, std::move(config));
    },
});

}  // namespace
}  // namespace mentor::meta_learner
