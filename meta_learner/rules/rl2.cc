// RL^2 (Duan et al. 2016; Wang et al. 2016), the baseline of black_box.md section 12: a recurrent
// policy that is meta-learned by PPO over whole lifetimes. Nothing is learned inside a lifetime but
// by the policy's memory, so there is no signal network and no inner update.
#include "meta_learner/rules/rl2.h"

#include <torch/types.h>

#include <algorithm>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/cpu_time.h"
#include "learner/agents/recurrent_policy.h"
#include "learner/agents/worker_pool.h"
#include "meta_learner/rules/meta_advantage.h"
#include "meta_learner/rules/outer_ppo_rule.h"
#include "meta_learner/rules/reward_normaliser.h"

namespace mentor::meta_learner {
namespace {

using torch::Tensor;

struct Rl2Config {
  OuterPpoConfig ppo;
  MetaAdvantageConfig advantage;
  bool shaped_objective = true;
  double target_mean = 0.1;
  double initial_std = 1;
  // Of the experiment.
  int64_t lifetimes = 30;         // N
  int64_t lifetime_steps = 4500;  // L
};

OptionTable Options() {
  OptionTable options =
      OuterPpoOptions({.learning_rate = "5e-4",
                       .entropy_coef = "0.005",
                       .target_kl = "0.1",
                       .epochs = "10",
                       .entropy_help = "Weight of the entropy bonus (0 for ML10)."});
  using Kind = OptionInfo::Kind;
  options.insert(
      options.end(),
      {{.name = "objective",
        .kind = Kind::kChoice,
        .default_value = "shaped",
        .choices = {"shaped", "success"},
        .help = "What the policy maximises: the normalised shaped reward or the sparse success "
                "signal."},
       {.name = "target_mean",
        .default_value = "0.1",
        .min = 1e-30,
        .max = 1e30,
        .help = "Mean of the normalised shaped reward."},
       {.name = "gamma", .default_value = "0.995", .min = 0, .max = 1, .help = "Discount a step."},
       {.name = "lambda",
        .default_value = "0.95",
        .min = 0,
        .max = 1,
        .help = "Of generalised advantage estimation over the lifetime."}});
  return options;
}

Rl2Config ReadConfig(const v1::ExperimentSpec& spec, const OptionValues& options) {
  return {.ppo = ReadOuterPpo(options),
          .advantage = {.estimator = MetaEstimator::kGae,
                        .gamma = options.Number("gamma"),
                        .lambda = options.Number("lambda")},
          .shaped_objective = options.Choice("objective") == "shaped",
          .target_mean = options.Number("target_mean"),
          .initial_std = spec.agent().initial_std(),
          .lifetimes = spec.rule().lifetimes_per_update(),
          .lifetime_steps = spec.lifetime().steps_per_iteration()};
}

class Rl2 : public OuterRule {
 public:
  Rl2(const RuleContext& context, const OptionValues& options, const Rl2Config& config)
      : config_(config),
        policy_(learner::ReadRecurrentPolicy(options, context.shape)),
        trainer_(options, context.spec.seed(),
                 policy_.InitialWeights(config_.initial_std, context.spec.seed()),
                 context.num_threads) {}

  RuleNeeds needs() const override { return {.signal_network = false, .inner_updates = false}; }
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
    const int64_t lifetimes = config_.lifetimes, steps = config_.lifetime_steps;
    if (static_cast<int64_t>(batch.environments.size()) != lifetimes) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "the outer update has %d lifetimes, expected %d", batch.environments.size(), lifetimes));
    }
    const learner::Segment& x = batch.steps;
    MENTOR_RETURN_IF_ERROR(CheckTensor("observations", x.observations, lifetimes, steps, 3));
    MENTOR_RETURN_IF_ERROR(CheckTensor("actions", x.actions, lifetimes, steps, 3));
    const std::pair<const char*, const Tensor*> scalars[] = {
        {"log_probs", &x.log_probs},
        {"shaped_rewards", &x.shaped_rewards},
        {"success_signals", &x.success_signals},
        {"prev_done", &x.prev_done},
        {"signal_values", &x.signal_values}};
    for (const auto& [name, tensor] : scalars)
      MENTOR_RETURN_IF_ERROR(CheckTensor(name, *tensor, lifetimes, steps, 2));
    return CheckPrevDone(x.prev_done);
  }

  // Advantages and returns [N, L] float64, not standardised.
  std::pair<Tensor, Tensor> AdvantagesOf(const LifetimeBatch& batch,
                                         const RewardNormaliser& normaliser) const {
    Tensor advantages = torch::empty({config_.lifetimes, config_.lifetime_steps}, torch::kFloat64),
           returns = torch::empty_like(advantages);
    const auto length = static_cast<size_t>(config_.lifetime_steps);
    for (int64_t l = 0; l < config_.lifetimes; ++l) {
      const Tensor rewards =
          (config_.shaped_objective
               ? normaliser.Normalise(batch.environments[l], batch.steps.shaped_rewards[l],
                                      config_.target_mean)
               : batch.steps.success_signals[l].to(torch::kFloat64))
              .contiguous();
      const Tensor values = batch.steps.signal_values[l].to(torch::kFloat64).contiguous();
      const Tensor prev_done = batch.steps.prev_done[l].to(torch::kUInt8).contiguous();
      const MetaAdvantages estimate = EstimateMetaAdvantages(
          config_.advantage, {rewards.const_data_ptr<double>(), length},
          {values.const_data_ptr<double>(), length}, {prev_done.const_data_ptr<uint8_t>(), length});
      std::copy_n(estimate.advantages.begin(), length, advantages[l].mutable_data_ptr<double>());
      std::copy_n(estimate.returns.begin(), length, returns[l].mutable_data_ptr<double>());
    }
    return {advantages, returns};
  }

  absl::StatusOr<RuleReport> DoUpdate(const LifetimeBatch& batch, uint32_t outer_step) override {
    const double cpu_begin = ThreadCpuSeconds() + learner::WorkerPool::CallerCpuSeconds();
    MENTOR_RETURN_IF_ERROR(CheckBatch(batch));
    RewardNormaliser normaliser = normaliser_;
    if (config_.shaped_objective) {
      for (int64_t l = 0; l < config_.lifetimes; ++l)
        normaliser.Add(batch.environments[l], batch.steps.shaped_rewards[l]);
      MENTOR_RETURN_IF_ERROR(normaliser.Check());
    }
    const auto [advantages, returns] = AdvantagesOf(batch, normaliser);
    OuterPpoBatch ppo_batch{.features = learner::RecurrentFeatures(batch.steps),
                            .cut_features = {},
                            .outputs = batch.steps.actions,
                            .log_probs = batch.steps.log_probs,
                            .advantages = advantages,
                            .returns = returns};
    MENTOR_ASSIGN_OR_RETURN(RuleReport report, trainer_.Update(TrainedPolicy(policy_),
                                                               std::move(ppo_batch), outer_step));
    normaliser_ = std::move(normaliser);
    for (const auto& [environment, statistics] : normaliser_.statistics())
      report[absl::StrCat("reward_mean/", environment)] = normaliser_.Mean(environment);
    report["outer_seconds"] =
        ThreadCpuSeconds() + learner::WorkerPool::CallerCpuSeconds() - cpu_begin;
    return report;
  }

  // Fixed after construction.
  const Rl2Config config_;
  const learner::RecurrentPolicy policy_;
  // Changed by Update and Load, as a whole or not at all.
  OuterPpoTrainer trainer_;
  RewardNormaliser normaliser_;
};

// What no single option shows.
void CheckConfig(const v1::ExperimentSpec& spec, const Rl2Config& config, Violations* violations) {
  if (spec.lifetime().iterations() != 1) {
    violations->Add("lifetime.iterations",
                    absl::StrFormat("is %d; a recurrent policy lives without updates: set it to 1 "
                                    "and steps_per_iteration to the steps of the whole lifetime",
                                    spec.lifetime().iterations()));
    return;
  }
  if (spec.evaluation().deterministic_episodes() > 0) {
    violations->Add("evaluation.deterministic_episodes",
                    absl::StrFormat("is %d; what a recurrent policy learned ends with its "
                                    "lifetime, and its evaluation is deterministic throughout: "
                                    "set it to 0",
                                    spec.evaluation().deterministic_episodes()));
  }
  for (const int baseline : spec.evaluation().baseline()) {
    if (baseline == v1::RANDOM_SIGNAL) continue;
    violations->Add("evaluation.baseline",
                    "has PPO, whose agents never update in lifetimes of one iteration: take it "
                    "out, or compare with another experiment");
    break;
  }
  CheckPieces(config.ppo, config.lifetime_steps, "all of them", violations);
}

const RegisterRule kRl2({
    .name = "rl2",
    .summary = "RL^2: a recurrent policy, by PPO over whole lifetimes (Duan et al.; Wang et al.)",
    .inner_loop = "recurrent",
    .options = Options(),
    .make = [](const RuleContext& context, const OptionValues& options,
               Violations* violations) -> std::unique_ptr<OuterRule> {
      const Rl2Config config = ReadConfig(context.spec, options);
      CheckConfig(context.spec, config, violations);
      // Without a benchmark, which is refused elsewhere, nothing has a size.
      if (!violations->empty() || context.shape.action_size() == 0) return nullptr;
      return std::make_unique<Rl2>(context, options, config);
    },
});

}  // namespace

TrainedNetwork TrainedPolicy(const learner::RecurrentPolicy& policy) {
  TrainedNetwork network;
  network.initial_recurrent = [policy](int64_t num_lifetimes, torch::Dtype dtype) {
    return policy.InitialState(num_lifetimes, dtype);
  };
  network.evaluate = [policy](const Tensor& weights, const Tensor& features, const Tensor& actions,
                              const std::vector<Tensor>& recurrent) -> PieceEvaluation {
    learner::RecurrentOutputs outputs = policy.Forward(weights, features, recurrent);
    return {.log_probs = RecurrentLogProb(outputs, actions),
            .entropies = RecurrentEntropy(outputs).to(torch::kFloat64),
            .values = outputs.values,
            .final_recurrent = std::move(outputs.final_state)};
  };
  return network;
}

}  // namespace mentor::meta_learner
