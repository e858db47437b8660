// The black-box outer rule of Pappalardo, Ramele and Santos (methods/black_box/README.md). The
// signal network is a policy whose environment is the learning agent; PPO trains it over whole
// lifetimes. First order only: nothing is differentiated through the agent's updates.
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "methods/base/outer_rule.h"
#include "methods/shared/meta_advantage.h"
#include "methods/shared/outer_ppo_rule.h"

namespace mentor::methods::black_box_rule {
namespace {

using torch::Tensor;

struct Config {
  OuterPpoSettings settings;
  bool zero_prev_at_cut;  // methods/black_box/README.md#reading-previous-signal-at-cuts.
  MetaAdvantageConfig advantage;
};

const auto kOptions = Bind<Config>(
    {{&Config::settings,
      OuterPpoOptions(
          {.learning_rate = "5e-5",
           .entropy_coef = "0.003",
           .target_kl = "0.01",
           .epochs = "12",
           .target_mean = "1e-4",
           .entropy_help = "Weight of the entropy bonus (0.0005 for ML10 and the advantage role).",
           .trained = "the signal network"})},
     {&Config::zero_prev_at_cut, "zero_prev_at_cut", false,
      "Feed 0 instead of the previous signal at the first step of each piece, as the authors' code "
      "does."},
     {In(&Config::advantage, &MetaAdvantageConfig::estimator), "estimator", MetaEstimators(),
      "Meta-advantage; those with skipping leave out the rewards before the next update."},
     {In(&Config::advantage, &MetaAdvantageConfig::gamma), "gamma", "0.9", 0, 1,
      "Discount of the meta-advantage per episode (estimator gae: per step)."},
     {In(&Config::advantage, &MetaAdvantageConfig::lambda), "lambda", "0.85", 0, 1,
      "Weight of an n-step estimate relative to the one before."},
     {In(&Config::advantage, &MetaAdvantageConfig::starting_n), "starting_n", "0", 0, 1e9,
      "Smallest n of the n-step estimates; 0: 1.1 steps_per_iteration."},
     {In(&Config::advantage, &MetaAdvantageConfig::num_estimates), "num_n_step_estimates", "6", 1,
      10000, "Number of n-step estimates."},
     {In(&Config::advantage, &MetaAdvantageConfig::skip_rate), "skip_rate", "0", 0, 1e9,
      "Distance between their n; 0: 0.15 steps_per_iteration."}});

OuterPpoRuleConfig RuleConfigOf(const RuleContext& context) {
  Config config = kOptions.Read(context.options);
  const auto* density = context.network ? context.network->density() : nullptr;
  const int64_t steps = context.steps(), iterations = context.iterations();
  const auto share = [&](double of_segment, int64_t* value) {
    if (*value == 0)
      *value = std::max<int64_t>(1, std::llround(of_segment * static_cast<double>(steps)));
  };
  config.advantage.steps_per_iteration = steps;
  share(1.1, &config.advantage.starting_n);
  share(0.15, &config.advantage.skip_rate);
  config.settings.ppo.piece_unit = density ? density->piece_unit() : 1;
  return {.settings = config.settings,
          .advantage = config.advantage,
          .lifetimes = context.lifetimes(),
          .lifetime_steps = iterations * steps,
          .trained_steps = (iterations - 1) * steps,
          .sampled_signals = true};
}

// Checks what no single option shows.
void CheckSteps(const RuleContext& context, Violations* violations) {
  const OuterPpoRuleConfig config = RuleConfigOf(context);
  const int64_t iterations = context.iterations(), steps = context.steps();
  if (iterations < 2) {
    violations->Add("lifetime.iterations",
                    absl::StrFormat("is %d; the signals of the last iteration reach no update, so "
                                    "the black-box rule needs at least 2; give more iterations",
                                    iterations));
    return;
  }
  CheckPieces(config.settings.ppo, config.trained_steps, "all but the last iteration", violations);
  const int64_t invalid =
      FirstInvalidStep(config.advantage, config.lifetime_steps, config.trained_steps);
  if (invalid >= 0) {
    violations->Add(
        "rule.option.starting_n",
        absl::StrFormat("is %d with skip_rate %d and %d estimates; step %d of the %d trained steps "
                        "of a lifetime then has no meta-advantage (t + n must stay below %d and n "
                        "exceed the %d steps to the next iteration); give 0 for values that fit "
                        "steps_per_iteration, or more estimates",
                        config.advantage.starting_n, config.advantage.skip_rate,
                        config.advantage.num_estimates, invalid, config.trained_steps,
                        config.lifetime_steps, steps - invalid % steps));
  }
}

class BlackBox final : public OuterPpoRule {
 public:
  explicit BlackBox(const RuleContext& context)
      : OuterPpoRule(context, RuleConfigOf(context), context.InitialNetwork()) {}

  RuleNeeds needs() const override { return {.network = RuleNeeds::Network::kDensity}; }

 private:
  TrainedNetwork network() const override { return *context_.network; }

  absl::StatusOr<OuterPpoBatch> Recorded(const agents::Segment& steps, Tensor advantages,
                                         Tensor returns,
                                         agents::WorkerPool* /*pool*/) const override {
    agents::Segment trained;
    for (auto member : {&agents::Segment::observations, &agents::Segment::actions,
                        &agents::Segment::log_probs, &agents::Segment::shaped_rewards,
                        &agents::Segment::success_signals, &agents::Segment::prev_done,
                        &agents::Segment::signals, &agents::Segment::signal_log_probs}) {
      trained.*member = (steps.*member).narrow(1, 0, config_.trained_steps);
    }
    return MakeOuterPpoBatch(*context_.network->density(), trained, std::move(advantages),
                             std::move(returns), kOptions.Read(context_.options).zero_prev_at_cut);
  }
};

const RegisterRule kBlackBox({
    .name = "black_box",
    .summary = "PPO over whole lifetimes, first order (Pappalardo, Ramele and Santos)",
    .options = kOptions.table(),
    .metrics = OuterPpoMetrics(),
    .check =
        [](const RuleContext& context, Violations* violations) {
          CheckSteps(context, violations);
          if (!context.network)
            violations->Add("signal",
                            "is missing; the black-box rule trains a signal network, so name one");
          else if (context.network->density() == nullptr)
            violations->Add("signal.name",
                            absl::StrCat("is '", context.spec.signal().name(),
                                         "', whose signals have no density; the black-box rule "
                                         "samples them: take lstm, or mlp or attention with "
                                         "option density, or a rule by gradient"));
        },
    .make = MadeRule<BlackBox>,
});

}  // namespace
}  // namespace mentor::methods::black_box_rule
