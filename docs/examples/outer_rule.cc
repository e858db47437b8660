// reinforce: signals of lifetimes that ended better than the others become more likely, one
// gradient step for each outer update. The example of docs/adding.md.
#include "methods/base/outer_rule.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <memory>
#include <string>

#include <absl/strings/str_cat.h>

namespace mentor::methods::example_outer_rule {
namespace {

using torch::Tensor;

struct Config {
  double learning_rate;
};

const auto kOptions = Bind<Config>(
    {{&Config::learning_rate, "learning_rate", "1e-2", 0, 10, "Of plain gradient descent."}});

class Reinforce : public OuterRule {
 public:
  explicit Reinforce(const RuleContext& context)
      : OuterRule(context),
        learning_rate_(kOptions.Read(context.options).learning_rate),
        weights_(context.InitialNetwork()) {}

  RuleNeeds needs() const override { return {.network = RuleNeeds::Network::kDensity}; }
  Tensor meta_parameters() const override { return weights_; }

  void State(StateFields* fields) override { fields->Add("weights", &weights_); }

 private:
  absl::StatusOr<RuleReport> DoUpdate(const LifetimeBatch& batch, uint32_t outer_step) override {
    const agents::Segment& steps = batch.steps;
    const int64_t num_lifetimes = steps.signals.size(0), num_steps = steps.signals.size(1);
    // Signals of the last iteration reach no update, so they are not trained; its rewards say how
    // good the others were.
    const int64_t trained = num_steps - batch.steps_per_iteration;
    const Tensor scores =
        steps.shaped_rewards.narrow(1, trained, batch.steps_per_iteration).mean(1);
    const Tensor advantages =
        ((scores - scores.mean()) / (scores.std(/*unbiased=*/false) + 1e-8)).to(torch::kFloat32);

    const Tensor first = torch::zeros({num_lifetimes, 1});
    const Tensor previous = torch::cat({first, steps.signals.narrow(1, 0, num_steps - 1)}, 1);
    const signals::SignalDensity& density = *context_.network->density();
    const Tensor features = density.Features(steps, previous).narrow(1, 0, trained);
    const Tensor weights = weights_.detach().clone().set_requires_grad(true);
    const signals::SignalEvaluation evaluation = density.Evaluate(
        weights, features, steps.signals.narrow(1, 0, trained),
        context_.network->signals()->InitialState(num_lifetimes, torch::kFloat32).recurrent);
    const Tensor loss = -(advantages.unsqueeze(1) * evaluation.log_probs).mean();
    const Tensor gradient = torch::autograd::grad({loss}, {weights})[0];
    if (!gradient.isfinite().all().item<bool>()) {
      return absl::InternalError(
          absl::StrCat("reinforce: gradient of outer update ", outer_step, " is not finite"));
    }
    weights_ = (weights_ - learning_rate_ * gradient).detach();
    return RuleReport{{"pg_loss", loss.item<double>()},
                      {"gradient_norm", gradient.norm().item<double>()}};
  }

  const double learning_rate_;
  Tensor weights_;  // [P]
};

const RegisterRule kRegister({
    .name = "reinforce",
    .summary = "Policy gradient on whole lifetimes, one step for each outer update.",
    .inner_loop = "slow_ppo",  // The file inner_loop.cc has it. The default is ppo.
    .options = kOptions.table(),
    .metrics = {{.name = "pg_loss",
                 .help = "Mean of -advantage times log-density; its gradient is the step.",
                 .label = "policy loss",
                 .panel = MetricInfo::Panel::kOwn},
                {.name = "gradient_norm",
                 .help = "Norm of the step over the learning rate.",
                 .log_scale = true}},
    .check =
        [](const RuleContext& context, Violations* violations) {
          if (context.iterations() < 2) {
            violations->Add(
                "lifetime.iterations",
                "is 1; reinforce needs at least 2, since the signal acts from the first update on");
          }
          if (context.network->density() == nullptr) {
            violations->Add("signal.name", "has no density, which reinforce needs; take lstm");
          }
        },
    .make = MadeRule<Reinforce>,
});

}  // namespace
}  // namespace mentor::methods::example_outer_rule
