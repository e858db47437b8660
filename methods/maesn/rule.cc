// MAESN (Gupta et al. 2018; methods/maesn/README.md). The meta-parameters are a policy that sees a
// latent, the mean and deviation of every training task's latent, and the step sizes with which
// agents adapt them. The outer step is PPO or TRPO on the steps of the adapted agents.
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/exact_math.h"
#include "methods/base/loop_parts.h"
#include "methods/base/outer_rule.h"
#include "methods/maesn/loop.h"
#include "methods/maesn/objective.h"
#include "methods/shared/adapted_lives.h"
#include "methods/shared/folded_input.h"
#include "methods/shared/trained_weights.h"
#include "methods/shared/trpo.h"

namespace mentor::methods::maesn_rule {
namespace {

using torch::Tensor;

constexpr double kLastRate = 0.1;  // Share of the learning rate in the last update.
constexpr double kDeviationFloor = 1e-8;

struct MaesnConfig {
  LatentConfig latent = {};
  bool success = false;  // Maximises the success signal.
  bool trpo = false;
  double adaptation_rate = 1, gamma = 0.99, initial_std = 0.3, min_std = 0.2, max_grad_norm = 1;
  bool zero_mu = false;
  MaesnLoss loss = {};
  kernels::AdamConfig adam = {};
  int64_t epochs = 5;
  TrpoConfig trust = {};
  // From the experiment's spec.
  int64_t tasks = 0;      // n
  int64_t lifetimes = 0;  // F
  int64_t updates = 0;
  uint64_t seed = 1;

  int64_t steps_per_iteration() const { return latent.episodes * latent.episode_steps; }  // T
};

const auto kOptions = Bind<MaesnConfig>(
    {{&MaesnConfig::adaptation_rate, "adaptation_rate", "1", 0, 1000,
      "Step sizes of the latent's mean and log-deviation at first; they are learned."},
     {&MaesnConfig::success,
      "objective",
      {{"raw", false}, {"success", true}},
      "What adapted agents maximise: the shaped reward, or the success signal."},
     {&MaesnConfig::gamma, "gamma", "0.99", 0, 1, "Discount per step of the objective."},
     {In(&MaesnConfig::loss, &MaesnLoss::kl_coef), "kl_coef", "0.1", 0, 1000,
      "Weight of the divergence of the tasks' latents from N(0, I), with which unseen tasks "
      "begin."},
     {&MaesnConfig::initial_std, "initial_std", "0.3", 1e-3, 10,
      "Deviation of a new policy's actions."},
     {&MaesnConfig::min_std, "min_std", "0.2", 0, 10,
      "Least deviation of the policy's actions: it holds after each outer step."},
     {&MaesnConfig::zero_mu,
      "initial_mu",
      {{"normal", false}, {"zero", true}},
      "Means of the tasks' latents at first: drawn from N(0, I), or 0."},
     {&MaesnConfig::trpo, "outer", {{"ppo", false}, {"trpo", true}}, "How the outer step is made."},
     {&MaesnConfig::epochs, "epochs", "5", 1, 1000,
      "Steps of PPO in an outer update, on all lifetimes."},
     {In(&MaesnConfig::loss, &MaesnLoss::clip), "clip", "0.2", 1e-6, 1, "Clip range of PPO."},
     {&MaesnConfig::max_grad_norm, "max_grad_norm", "1", 1e-30, 1e30,
      "Greatest norm of a gradient of PPO."},
     {&MaesnConfig::adam, AdamOptions("3e-3", "1e-8")},
     {&MaesnConfig::trust, TrpoOptions({.max_kl = 0.01, .line_search_start = 1})}});

MaesnConfig ReadConfig(const RuleContext& context) {
  MaesnConfig config = kOptions.Read(
      context.options, {.latent = ReadLatent(context.options, context.spec, context.shape),
                        .tasks = context.listed_tasks,
                        .lifetimes = context.lifetimes(),
                        .updates = context.outer_updates(),
                        .seed = context.spec.seed()});
  if (config.trpo) config.loss.clip.reset();
  return config;
}

// Advantages [E, M] of the episodes of one task: returns from each step on, minus their mean over
// the episodes at the same step, standardised.
Tensor ObjectiveAdvantages(const Tensor& rewards, double gamma) {
  Tensor returns = rewards.to(torch::kFloat64).clone();
  for (int64_t t = returns.size(1) - 2; t >= 0; --t)
    returns.select(1, t).add_(returns.select(1, t + 1), gamma);
  const Tensor centred = returns - returns.mean(0, /*keepdim=*/true);
  return centred / (centred.std(/*unbiased=*/true) + kDeviationFloor);
}

class Maesn : public TrainedRule {
 public:
  explicit Maesn(const RuleContext& context) : Maesn(context, ReadConfig(context)) {}

  RuleNeeds needs() const override {
    return {.network = RuleNeeds::Network::kNone,
            .training_iterations = static_cast<uint32_t>(config_.latent.steps + 1)};
  }

  RuleSizes Sizes() const override {
    const agents::AgentShape policy = WithInput(config_.latent.policy, config_.latent.latent);
    return SizesOverLifetimes(weights_.numel(), config_.lifetimes, /*kept=*/0,
                              config_.steps_per_iteration() * GraphNumbersPerStep(policy),
                              config_.trpo);
  }

 private:
  Maesn(const RuleContext& context, const MaesnConfig& config)
      : TrainedRule(context, context.Initial(LayoutOf(config).size(),
                                             [&] { return InitialWeights(config); })),
        config_(config),
        layout_(LayoutOf(config)) {}

  static agents::ParamLayout LayoutOf(const MaesnConfig& config) {
    return LatentLayout(config.latent, config.tasks);
  }

  static Tensor InitialWeights(const MaesnConfig& config) {
    const uint32_t lifetime = 0;
    const agents::ParamLayout layout = LayoutOf(config);
    const agents::AgentShape policy = WithInput(config.latent.policy, config.latent.latent);
    Tensor weights = torch::zeros({layout.size()}, torch::kFloat32);
    const Tensor initial = agents::InitialTheta(policy, config.initial_std, config.seed,
                                                Phase::kTraining, {&lifetime, 1});
    weights.narrow(0, 0, initial.numel()).copy_(initial[0]);
    layout.Part("alpha_mu", weights).fill_(config.adaptation_rate);
    layout.Part("alpha_log_sigma", weights).fill_(config.adaptation_rate);
    if (!config.zero_mu) {
      const auto tensor = static_cast<uint32_t>(layout.IndexOf("mu"));
      const Tensor mu = LatentNoise({.seed = config.seed, .purpose = Purpose::kAgentWeights},
                                    tensor, 1, config.tasks * config.latent.latent);
      layout.Part("mu", weights).copy_(mu.flatten());
    }
    return weights;
  }

  // Lifetime i of the round as the agent lived it.
  MaesnLifetime LifetimeOf(const LifetimeBatch& batch, int64_t i, uint32_t outer_step) const {
    const LatentConfig& latent = config_.latent;
    // The lifetime's number in its phase (meta_learner/experiment/shards.h).
    const RandomStream stream{.seed = config_.seed,
                              .purpose = Purpose::kLatent,
                              .phase = Phase::kTraining,
                              .lifetime = outer_step * static_cast<uint32_t>(config_.lifetimes) +
                                          static_cast<uint32_t>(i)};
    const auto noise = [&](int64_t iteration) {
      return LatentNoise(stream, iteration * latent.episodes, latent.episodes, latent.latent)
          .to(torch::kFloat32);
    };
    MaesnLifetime lifetime;
    lifetime.task = batch.task_indices[i].item<int64_t>();
    for (int64_t k = 0; k < latent.steps; ++k) {
      const Tensor advantages =
          EpisodeAdvantages(latent, batch.steps, i, k * config_.steps_per_iteration());
      lifetime.steps.push_back({noise(k), advantages.to(torch::kFloat32)});
    }
    const auto adapted = [&](const Tensor& x) {
      return x[i]
          .narrow(0, latent.steps * config_.steps_per_iteration(), config_.steps_per_iteration())
          .unflatten(0, {latent.episodes, latent.episode_steps});
    };
    lifetime.eps = noise(latent.steps);
    lifetime.observations = adapted(batch.steps.observations);
    lifetime.actions = adapted(batch.steps.actions);
    lifetime.advantages =
        ObjectiveAdvantages(
            adapted(config_.success ? batch.steps.success_signals.to(torch::kFloat64)
                                    : batch.steps.shaped_rewards),
            config_.gamma)
            .to(torch::kFloat32);
    return lifetime;
  }

  absl::Status CheckTasks(const LifetimeBatch& batch) const {
    const Tensor& tasks = batch.task_indices;
    if (tasks.defined() && tasks.numel() == config_.lifetimes && tasks.min().item<int64_t>() >= 0 &&
        tasks.max().item<int64_t>() < config_.tasks)
      return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrFormat(
        "a lifetime of the outer update is of none of the %d training tasks", config_.tasks));
  }

  // Indices of the meta-parameters that an update moves: all but the latents of tasks outside the
  // round.
  Tensor Moving(const Tensor& task_indices) const {
    const int64_t dz = config_.latent.latent;
    const int64_t shared = layout_.slices()[layout_.IndexOf("mu")].offset;
    std::vector<char> in_round(config_.tasks, 0);
    for (int64_t i = 0; i < config_.lifetimes; ++i) in_round[task_indices[i].item<int64_t>()] = 1;
    std::vector<Tensor> parts = {torch::arange(shared, torch::kInt64)};
    for (const char* name : {"mu", "log_sigma"}) {
      const int64_t offset = layout_.slices()[layout_.IndexOf(name)].offset;
      for (int64_t task = 0; task < config_.tasks; ++task) {
        if (in_round[task] == 0) continue;
        parts.push_back(torch::arange(offset + task * dz, offset + (task + 1) * dz, torch::kInt64));
      }
    }
    return torch::cat(parts);
  }

  // Steps of Adam on the indices that move; only their moments change.
  absl::Status StepByPpo(const MaesnObjective& objective, const Tensor& moving, uint32_t outer_step,
                         Tensor* weights, AdamState* adam) const {
    kernels::AdamConfig step = config_.adam;
    const double done =
        config_.updates > 1
            ? std::min(1.0, static_cast<double>(outer_step) / (config_.updates - 1.0))
            : 0;
    step.learning_rate *= 1 - (1 - kLastRate) * done;
    for (int64_t epoch = 0; epoch < config_.epochs; ++epoch) {
      MENTOR_ASSIGN_OR_RETURN(const Tensor gradient, objective.Gradient(*weights));
      if (!gradient.isfinite().all().item<bool>())
        return absl::InternalError("the outer gradient is not finite");
      const auto part = [&](const Tensor& x) { return x.index_select(0, moving); };
      Tensor moved = part(*weights);
      AdamState own{part(adam->m), part(adam->v), adam->step};
      ClipAndStep(step, config_.max_grad_norm, part(gradient.to(torch::kFloat32)), moved, &own);
      *weights = weights->index_copy(0, moving, moved);
      *adam = {adam->m.index_copy(0, moving, own.m), adam->v.index_copy(0, moving, own.v),
               own.step};
    }
    return absl::OkStatus();
  }

  absl::Status StepByTrpo(const MaesnObjective& objective, Tensor* weights) const {
    const Tensor here = weights->to(torch::kFloat64);
    TrpoProblem problem;
    MENTOR_ASSIGN_OR_RETURN(problem.gradient, objective.Gradient(here));
    if (!problem.gradient.isfinite().all().item<bool>())
      return absl::InternalError("the outer gradient is not finite");
    MENTOR_ASSIGN_OR_RETURN(const TrpoValue now, objective.Evaluate(here));
    problem.loss = now.loss;
    problem.hessian_vector = [&](const Tensor& v) { return objective.HessianVector(v); };
    problem.evaluate = [&](const Tensor& d) { return objective.Evaluate(here + d); };
    MENTOR_ASSIGN_OR_RETURN(const TrpoResult result, RunTrpo(config_.trust, problem));
    *weights = (here - result.alpha.value_or(0) * result.step).to(torch::kFloat32);
    return absl::OkStatus();
  }

  absl::StatusOr<RuleReport> DoUpdate(const LifetimeBatch& batch, uint32_t outer_step) override {
    const int64_t iterations = config_.latent.steps + 1;
    MENTOR_RETURN_IF_ERROR(
        CheckLives(batch, config_.lifetimes, iterations * config_.steps_per_iteration()));
    MENTOR_RETURN_IF_ERROR(CheckTasks(batch));
    std::vector<MaesnLifetime> lifetimes;
    for (int64_t i = 0; i < config_.lifetimes; ++i)
      lifetimes.push_back(LifetimeOf(batch, i, outer_step));
    MaesnObjective objective(config_.latent, config_.loss, config_.tasks, weights_,
                             std::move(lifetimes), context_.pool);
    MENTOR_RETURN_IF_ERROR(objective.Prepare());
    RuleReport report;
    MENTOR_ASSIGN_OR_RETURN(
        report["rho_error"],
        CheckedRho(batch, config_.latent.steps * config_.steps_per_iteration(),
                   [&](int64_t i) { return objective.log_probs(i).flatten(); }));
    Report(batch, &report);

    Tensor weights = weights_;
    AdamState adam = adam_;
    MENTOR_RETURN_IF_ERROR(config_.trpo ? StepByTrpo(objective, &weights)
                                        : StepByPpo(objective, Moving(batch.task_indices),
                                                    outer_step, &weights, &adam));
    weights = weights.clone();
    if (!config_.latent.policy.discrete) {
      Tensor log_std = layout_.Part("logstd", weights);
      if (config_.min_std > 0) log_std.clamp_min_(exact::Log(config_.min_std));
      report["policy_std"] = log_std.exp().mean().item<double>();
    }
    if (!weights.isfinite().all().item<bool>())
      return absl::InternalError("the meta-parameters after the outer step are not finite");
    MENTOR_ASSIGN_OR_RETURN(const TrpoValue after, objective.Evaluate(weights));
    report["kl"] = after.kl;
    weights_ = std::move(weights);
    adam_ = std::move(adam);
    return report;
  }

  // Adds statistics of the lifetimes.
  void Report(const LifetimeBatch& batch, RuleReport* report) const {
    const LatentConfig& latent = config_.latent;
    // [F, iterations, E]: true if any step of the episode succeeded.
    const Tensor succeeded =
        batch.steps.successes
            .view({config_.lifetimes, latent.steps + 1, latent.episodes, latent.episode_steps})
            .amax(3)
            .to(torch::kFloat64);
    (*report)["pre_success"] = succeeded.select(1, 0).mean().item<double>();
    (*report)["post_success"] = succeeded.select(1, latent.steps).mean().item<double>();
    const auto rows = [&](const char* name) {
      return layout_.Part(name, weights_)
          .to(torch::kFloat64)
          .view({config_.tasks, latent.latent})
          .index_select(0, batch.task_indices);
    };
    const Latent all{rows("mu"), rows("log_sigma")};
    (*report)["latent_kl"] = LatentKl(all).item<double>() / static_cast<double>(config_.lifetimes);
    (*report)["latent_std"] = all.log_sigma.exp().mean().item<double>();
    (*report)["alpha_mu"] = layout_.Part("alpha_mu", weights_).mean().item<double>();
  }

  // Fixed after construction.
  const MaesnConfig config_;
  const agents::ParamLayout layout_;
};

MetricTable Metrics() {
  using Panel = MetricInfo::Panel;
  return {{.name = "pre_success",
           .help = "Share of episodes with success before the latents adapt.",
           .label = "success before adaptation",
           .panel = Panel::kOwn},
          {.name = "post_success",
           .help = "Share of episodes with success after all adaptation steps.",
           .label = "success after adaptation",
           .panel = Panel::kOwn},
          {.name = "latent_kl",
           .unit = "nat",
           .help = "Divergence of the tasks' latents from N(0, I), mean over the lifetimes."},
          {.name = "latent_std", .help = "Deviation of the tasks' latents, mean."},
          {.name = "alpha_mu", .help = "Step size of the latent's mean, mean over its numbers."},
          {.name = "policy_std", .help = "Deviation of the policy's actions after the outer step."},
          {.name = "kl",
           .unit = "nat",
           .help = "Divergence of the adapted policies after the outer step from those before.",
           .label = "KL divergence"},
          {.name = "rho_error",
           .help = "Greatest difference from 1 of the density ratio of meta-learner and actor."}};
}

const RegisterRule kMaesn({
    .name = "maesn",
    .summary = "A policy with a latent that a few steps adapt to a task (MAESN, Gupta et al.)",
    .inner_loop = "latent_adaptation",
    .options = kOptions.table(),
    .metrics = Metrics(),
    .example = "benchmark { name: 'custom' task_set { environment: 'point_reach' goals: 30 } }",
    .check =
        [](const RuleContext& context, Violations* violations) {
          CheckLatent(ReadConfig(context).latent, context.spec, context.shape, violations);
          if (context.listed_tasks == 0) {
            violations->Add("benchmark",
                            "draws its training tasks afresh, but MAESN keeps a latent for each "
                            "training task: give task_set.goals (benchmark custom), or a benchmark "
                            "with a list of tasks");
          }
        },
    .make = MadeRule<Maesn>,
});

}  // namespace
}  // namespace mentor::methods::maesn_rule
