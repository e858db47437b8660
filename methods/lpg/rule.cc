// The learned policy gradient as an outer rule (Oh et al. 2020; methods/lpg/README.md): its options
// and checks. An outer update is one inner iteration of agents that live on; the last of a window
// moves the network.
#include <absl/strings/str_format.h>

#include "methods/base/loop_parts.h"
#include "methods/lpg/options.h"
#include "methods/shared/gradient_rule.h"

namespace mentor::methods {
namespace {

BoundOptions<LpgSizes> SizeOptions() {
  return Bind<LpgSizes>(
      {{&LpgSizes::predictions, "predictions", "30", 2, 1000,
        "Numbers of the categorical prediction y (m)."},
       {&LpgSizes::embedding, "embedding", "16", 1, 4096,
        "Hidden units of the network's embedding of y."},
       {&LpgSizes::lstm, "lstm_units", "256", 1, 4096, "Units of the network's LSTM."}});
}

// A function, since the loop registers its options from another file.
const BoundOptions<LpgOptions>& Options() {
  static const auto options = Bind<LpgOptions>(
      {{&LpgOptions::success,
        "extrinsic",
        {{"shaped", false}, {"success", true}},
        "The task's reward, for network and outer loss: the environment's, or the success signal."},
       {In(&LpgOptions::lpg, &LpgConfig::updates), "updates", "5", 1, 100,
        "Updates of an agent (K) before what it then does moves the network."},
       {In(&LpgOptions::lpg, &LpgConfig::unroll), "unroll", "20", 1, 10000,
        "Steps that the network reads at once, backward; divides lifetime.steps_per_iteration."},
       {In(&LpgOptions::lpg, &LpgConfig::alpha_y), "alpha_y", "0.5", 0, 1000,
        "Weight of KL(y || y-hat) in the agents' loss."},
       {In(&LpgOptions::lpg, &LpgConfig::policy_entropy), "policy_entropy", "0.05", 0, 1000,
        "Weight of the entropy of the updated policies in the outer objective (beta 0)."},
       {In(&LpgOptions::lpg, &LpgConfig::prediction_entropy), "prediction_entropy", "1e-3", 0, 1000,
        "Weight of the entropy of the updated predictions (beta 1)."},
       {In(&LpgOptions::lpg, &LpgConfig::pi_hat_square), "pi_hat_square", "5e-3", 0, 1000,
        "Weight of the square of pi-hat, which is subtracted (beta 2)."},
       {In(&LpgOptions::lpg, &LpgConfig::y_hat_square), "y_hat_square", "1e-3", 0, 1000,
        "Weight of the square of y-hat, which is subtracted (beta 3)."},
       {In(&LpgOptions::lpg, &LpgConfig::sizes), SizeOptions()},
       {&LpgOptions::gamma_out, "gamma_out", "0.99", 0, 1, "Discount of the outer objective."},
       {&LpgOptions::lambda_out, "lambda_out", "0.95", 0, 1, "Lambda of its advantages."},
       {In(&LpgOptions::critic, &agents::PpoConfig::learning_rate), "critic_learning_rate", "1e-3",
        0, 10, "Adam's, of the critics behind the outer objective's advantages."},
       {In(&LpgOptions::critic, &agents::PpoConfig::epochs), "critic_epochs", "4", 1, 10000,
        "Their passes over a segment."},
       {In(&LpgOptions::critic, &agents::PpoConfig::minibatches), "critic_minibatches", "4", 1,
        100000, "Their minibatches in each pass."}});
  return options;
}

const auto kRuleOptions = GradientRuleOptions(/*learning_rate=*/"1e-4", /*epsilon=*/"1e-8");

}  // namespace

OptionTable LpgOptionTable() {
  return Options().table();
}

LpgOptions ReadLpg(const OptionValues& options, const v1::AgentSpec& agent) {
  LpgOptions read = Options().Read(options);
  read.lpg.gamma = agent.gamma();
  read.lpg.update.ppo = agents::PpoConfigFromSpec(agent, /*update=*/1, /*num_updates=*/1);
  read.critic.max_grad_norm = agent.max_grad_norm();
  return read;
}

agents::AgentShape LpgAgentShape(const InnerLoopContext& context) {
  agents::AgentShape shape = ShapeWithCritic(context);
  shape.critic = false;
  return shape;
}

void CheckLpg(const InnerLoopContext& context, Violations* violations) {
  const v1::ExperimentSpec& spec = context.spec();
  const LpgOptions options = ReadLpg(context.options, spec.agent());
  const int64_t steps = context.steps();
  if (!context.shape().discrete_actions()) {
    violations->Add("benchmark",
                    "has continuous actions, and the network reads the probability of a choice: "
                    "take one with choices, for instance grid_world");
  }
  if (steps % options.lpg.unroll != 0) {
    violations->Add("rule.option.unroll",
                    absl::StrFormat("is %d, which does not divide the %d steps of an inner "
                                    "iteration (lifetime.steps_per_iteration); change one of them",
                                    options.lpg.unroll, steps));
  }
  if (options.critic.minibatches > steps) {
    violations->Add("rule.option.critic_minibatches",
                    absl::StrFormat("is %d for %d steps; use at most as many",
                                    options.critic.minibatches, steps));
  }
  if (spec.agent().anneal_learning_rate()) {
    violations->Add("agent.anneal_learning_rate",
                    "is true, but all updates of a window are differentiated with one rate: set "
                    "it to false");
  }
  const int64_t size = LpgNetwork(options.lpg.sizes).layout().size();
  if (context.meta_parameters.defined() && context.meta_parameters.numel() != size) {
    violations->Add("meta_parameters",
                    absl::StrFormat("are %d numbers, but the network of %d units and %d "
                                    "predictions has %d; give its options as they were in training",
                                    context.meta_parameters.numel(), options.lpg.sizes.lstm,
                                    options.lpg.sizes.predictions, size));
  }
}

namespace {

// A life that ends no window teaches nothing. Evaluations may have such lives.
void CheckWindow(const RuleContext& context, Violations* violations) {
  const int64_t updates = ReadLpg(context.options, context.spec.agent()).lpg.updates;
  if (context.outer_updates() == 0 || context.iterations() > updates) return;
  violations->Add("lifetime.iterations",
                  absl::StrFormat("is %d; the network moves after %d updates of an agent "
                                  "(rule.option.updates) and one more iteration: use at least %d, "
                                  "or fewer updates",
                                  context.iterations(), updates, updates + 1));
}

const RegisterRule kLpg({
    .name = "lpg",
    .summary = "A learned update of policy and predictions, by its gradient through the updates "
               "(Oh et al.: LPG)",
    .inner_loop = "lpg",
    .options = kRuleOptions.table(),
    .metrics = GradientRuleMetrics("the learned update"),
    .example = "benchmark { name: 'single' environment: 'grid_world' option { name: 'level' value: "
               "'rand_tiny' } } lifetime { iterations: 6 steps_per_iteration: 100 } "
               "evaluation { goals: 4 }",
    .check = CheckWindow,
    .make = [](const RuleContext& context) -> std::unique_ptr<OuterRule> {
      const LpgNetwork network(ReadLpg(context.options, context.spec.agent()).lpg.sizes);
      return std::make_unique<GradientRule>(
          context,
          context.Initial(network.layout().size(),
                          [&] { return network.InitialWeights(context.spec.seed()); }),
          RuleNeeds{.network = RuleNeeds::Network::kNone,
                    .decisions_inside_lifetime = true,
                    .second_order = true,
                    .segments = false},
          kRuleOptions.Read(context.options));
    },
});

}  // namespace
}  // namespace mentor::methods
