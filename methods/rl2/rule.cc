// RL^2 (Duan et al. 2016; Wang et al. 2016), the baseline of methods/rl2/README.md: a recurrent
// policy that PPO meta-learns over whole lifetimes. Inside a lifetime only the policy's memory
// learns, so there is no signal network and no inner update.
#include "methods/rl2/rule.h"

#include <torch/types.h>

#include <functional>
#include <utility>
#include <vector>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "methods/shared/meta_advantage.h"
#include "methods/shared/outer_ppo_rule.h"

namespace mentor::methods {
namespace {

using torch::Tensor;

struct Config {
  OuterPpoSettings settings;
  MetaAdvantageConfig advantage = {.estimator = MetaEstimator::kGae};
};

const auto kOptions =
    Bind<Config>({{&Config::settings,
                   OuterPpoOptions({.learning_rate = "5e-4",
                                    .entropy_coef = "0.005",
                                    .target_kl = "0.1",
                                    .epochs = "10",
                                    .target_mean = "0.1",
                                    .entropy_help = "Weight of the entropy bonus (0 for ML10).",
                                    .trained = "the policy"})},
                  {In(&Config::advantage, &MetaAdvantageConfig::gamma), "gamma", "0.995", 0, 1,
                   "Discount a step."},
                  {In(&Config::advantage, &MetaAdvantageConfig::lambda), "lambda", "0.95", 0, 1,
                   "Of generalised advantage estimation over the lifetime."}});

Config ReadConfig(const RuleContext& context) {
  Config config = kOptions.Read(context.options);
  config.settings.ppo.regression = ReadRecurrent(context.options, context.shape).regression;
  return config;
}

class Rl2 final : public OuterPpoRule {
 public:
  explicit Rl2(const RuleContext& context)
      : Rl2(context, ReadConfig(context), ReadRecurrent(context.options, context.shape).policy) {}
  Rl2(const RuleContext& context, const Config& config, const RecurrentPolicy& policy)
      : OuterPpoRule(context,
                     {.settings = config.settings,
                      .advantage = config.advantage,
                      .lifetimes = context.lifetimes(),
                      .lifetime_steps = context.steps(),
                      .trained_steps = context.steps()},
                     context.Initial(policy.Layout().size(),
                                     [&] {
                                       return policy.InitialWeights(
                                           context.spec.agent().initial_std(), context.spec.seed());
                                     })),
        policy_(policy),
        regression_(config.settings.ppo.regression) {}

  RuleNeeds needs() const override {
    return {.network = RuleNeeds::Network::kNone, .inner_updates = false};
  }

 private:
  TrainedNetwork network() const override {
    return regression_ ? RegressedPolicy(policy_) : TrainedPolicy(policy_);
  }

  // What memory gave is recorded once for all epochs, with the weights that acted, and is a
  // constant (methods/rl2/README.md#episodic-memory).
  absl::StatusOr<OuterPpoBatch> Recorded(const agents::Segment& steps, Tensor advantages,
                                         Tensor returns, agents::WorkerPool* pool) const override {
    OuterPpoBatch batch{.features = {},
                        .cut_features = {},
                        .outputs = regression_ ? steps.labels : steps.actions,
                        .log_probs = steps.log_probs,
                        .advantages = std::move(advantages),
                        .returns = std::move(returns)};
    if (policy_.memory) {
      MENTOR_ASSIGN_OR_RETURN(RecurrentLives lives,
                              LiveAgain(policy_, meta_parameters(), steps, pool));
      batch.features = std::move(lives.features);
    } else {
      batch.features = RecurrentFeatures(steps);
    }
    return batch;
  }

  const RecurrentPolicy policy_;
  const bool regression_;
};

// Checks what no single option shows.
void CheckRl2(const RuleContext& context, Violations* violations) {
  const v1::ExperimentSpec& spec = context.spec;
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
  CheckPieces(kOptions.Read(context.options).settings.ppo, context.steps(), "all of them",
              violations);
  // A missing benchmark is refused elsewhere; without it the policy has no size.
  if (!violations->empty() || context.shape.action_size() == 0) return;
  const RecurrentConfig agents = ReadRecurrent(context.options, context.shape);
  CheckEpisodicMemory(agents.policy, context.shape.episode_steps(), context.steps(), violations);
  if (agents.regression && !context.has_labels) {
    violations->Add("rule.option.loss",
                    "is squared, but the environment has no labels; set ppo, or an environment "
                    "that says what each action should have been");
  }
  if (agents.policy.discrete && agents.regression) {
    violations->Add("rule.option.loss",
                    "is squared, but actions are choices, which have no distance from a label; "
                    "set ppo");
  }
}

const RegisterRule kRl2({
    .name = "rl2",
    .summary = "RL^2: a recurrent policy, by PPO over whole lifetimes (Duan et al.; Wang et al.)",
    .inner_loop = "recurrent",
    .options = kOptions.table(),
    .metrics = OuterPpoMetrics(),
    .example = "lifetime { iterations: 1 } "
               "evaluation { deterministic_episodes: 0 baseline: RANDOM_SIGNAL }",
    .check = CheckRl2,
    .make =
        [](const RuleContext& context) {
          return context.shape.action_size() == 0 ? nullptr : MadeRule<Rl2>(context);
        },
});

}  // namespace

namespace {

// `terms` gives the differentiable quantities of a piece.
TrainedNetwork PolicyWith(
    const RecurrentPolicy& policy,
    std::function<signals::PieceEvaluation(const RecurrentOutputs&, const Tensor& recorded)>
        terms) {
  TrainedNetwork network;
  network.initial_recurrent = [policy](int64_t num_lifetimes, torch::Dtype dtype) {
    return policy.InitialState(num_lifetimes, dtype);
  };
  network.gradient_at = [policy, terms = std::move(terms)](const Tensor& weights) {
    return signals::GradientByAutograd(
        weights,
        [policy, terms](const Tensor& at, const Tensor& features, const Tensor& recorded,
                        const std::vector<Tensor>& recurrent) -> signals::PieceEvaluation {
          RecurrentOutputs outputs = policy.Forward(at, features, recurrent);
          signals::PieceEvaluation evaluation = terms(outputs, recorded);
          evaluation.final_recurrent = std::move(outputs.final_state);
          return evaluation;
        });
  };
  return network;
}

}  // namespace

TrainedNetwork TrainedPolicy(const RecurrentPolicy& policy) {
  return PolicyWith(
      policy,
      [](const RecurrentOutputs& outputs, const Tensor& actions) -> signals::PieceEvaluation {
        return {.log_probs = RecurrentLogProb(outputs, actions),
                .entropies = RecurrentEntropy(outputs),
                .values = outputs.values,
                .final_recurrent = {}};
      });
}

TrainedNetwork RegressedPolicy(const RecurrentPolicy& policy) {
  return PolicyWith(
      policy,
      [](const RecurrentOutputs& outputs, const Tensor& labels) -> signals::PieceEvaluation {
        const Tensor error = (outputs.mean - labels).square().sum(-1);
        const Tensor none = torch::zeros_like(error.detach());
        return {.log_probs = -error, .entropies = none, .values = none, .final_recurrent = {}};
      });
}

}  // namespace mentor::methods
