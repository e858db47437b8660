// Options, checks, memory and registration of the agents of rule meta_gradient
// (methods/meta_gradient/README.md); loop.cc is what they do.
#include <algorithm>

#include <absl/strings/str_format.h>

#include "methods/base/loop_parts.h"
#include "methods/meta_gradient/loop.h"
#include "methods/shared/critic.h"
#include "methods/shared/folded_input.h"
#include "signals/signal_network.h"

namespace mentor::methods {
namespace meta_gradient_options {

const auto kOptions = Bind<MetaGradientConfig>(
    {{&MetaGradientConfig::success,
      "extrinsic",
      {{"shaped", false}, {"success", true}},
      "The task's own reward r_ex: the environment's, or the sparse success signal."},
     {&MetaGradientConfig::reward_scale, "reward_scale", "1", 0, 1e30,
      "Factor on r_ex, for agents, critics and network."},
     {&MetaGradientConfig::c_ex, "c_ex", "1", 0, 1e30, "Weight of r_ex in the agents' reward."},
     {&MetaGradientConfig::c_in, "c_in", "0.5", 0, 1000,
      "Weight of the signal in the agents' reward."},
     {&MetaGradientConfig::gamma_out, "gamma_out", "0.99", 0, 1,
      "Discount of the outer objective."},
     {&MetaGradientConfig::lambda_out, "lambda_out", "0.95", 0, 1,
      "Lambda of the outer objective's advantages."},
     {In(&MetaGradientConfig::outer, &OuterConfig::clip), "clip_out", "0.2", 1e-9, 10,
      "Clip range of the outer objective's ratio."},
     {In(&MetaGradientConfig::outer, &OuterConfig::advantage_std_floor), "advantage_std_floor", "0",
      0, 1e30,
      "The outer objective's advantages are divided by their standard deviation, but by no less "
      "than this (in units of r_ex times reward_scale), so that a segment in which nothing "
      "happened moves little; 0: by whatever it is."},
     {In(&MetaGradientConfig::outer, &OuterConfig::form),
      "objective",
      {{"policy", OuterConfig::Form::kClippedRatio},
       {"value_error", OuterConfig::Form::kValueError}},
      "What the outer step improves: the agents' performance, or the error of their own critic "
      "against the outer returns, as (G - v)^2 (with the critic inside)."},
     {In(&MetaGradientConfig::update, &agents::UpdateConfig::policy_gradient),
      "inner_loss",
      {{"ppo", false}, {"a2c", true}},
      "Policy loss of the agents: the clipped ratio, or -A ln pi (with an outer objective "
      "without "
      "clipping)."},
     {In(&MetaGradientConfig::update, &agents::UpdateConfig::stop_second_moment),
      "second_moment",
      {{"stop", true}, {"through", false}},
      "Whether Adam's second moment is a constant for differentiation."},
     {In(&MetaGradientConfig::update, &agents::UpdateConfig::stop_clip),
      "clip_grad",
      {{"through", false}, {"stop", true}},
      "Whether the factor of gradient clipping is differentiated."},
     {In(&MetaGradientConfig::update, &agents::UpdateConfig::first_order),
      "order",
      {{"second", false}, {"first", true}},
      "Derivatives of the agents' gradients: all, or none with respect to their weights."},
     {In(&MetaGradientConfig::update, &agents::UpdateConfig::last_n), "last_n", "0", 0, 1e9,
      "Only the last n optimizer steps of an update are differentiated; 0: all."},
     {&MetaGradientConfig::bootstrap_steps, "bootstrap_steps", "0", 0, 1e6,
      "Optimizer steps from the updated agents to a target, which the updated policies are to "
      "match "
      "(BMG): all but the last as in the update, the last one down the outer objective; 0: the "
      "outer "
      "objective itself."},
     {&MetaGradientConfig::implementation,
      "implementation",
      {{"auto", agents::UpdateImplementation::kAuto},
       {"unrolled", agents::UpdateImplementation::kUnrolled},
       {"replay", agents::UpdateImplementation::kReplay}},
      "The graph of all optimizer steps at once, or one step's after the other (memory of one "
      "step); auto: replay beyond 4 steps."},
     {&MetaGradientConfig::fresh,
      "outer_data",
      {{"same", false}, {"fresh", true}},
      "The outer objective's segment: that of the update, or the next one."},
     {&MetaGradientConfig::separate_critic,
      "critic",
      {{"inside", false}, {"separate", true}},
      "The agents' critic: updated and differentiated with the policy, or outside of it like the "
      "extrinsic one (always, in the role ADVANTAGE with objective policy)."},
     {&MetaGradientConfig::critic, CriticOptions("Adam's, of critics outside the update.")}});

void CheckTarget(const MetaGradientConfig& config, int64_t updates, Violations* violations) {
  if (config.bootstrap_steps > updates + 1) {
    violations->Add("rule.option.bootstrap_steps",
                    absl::StrFormat("is %d; an update has %d optimizer steps, and one down the "
                                    "outer objective follows; use at most %d",
                                    config.bootstrap_steps, updates, updates + 1));
  }
  if (config.bootstrap_steps > 0 && config.value_error()) {
    violations->Add("rule.option.objective",
                    "is value_error, which says nothing of a policy to match; set policy, or "
                    "bootstrap_steps to 0");
  }
}

void Check(const InnerLoopContext& context, Violations* violations) {
  const v1::ExperimentSpec& spec = context.spec();
  const MetaGradientConfig config = ReadMetaGradient(context.options, spec.agent());
  if (context.network == nullptr) {
    violations->Add("signal", "is missing; the agents learn from a signal network: name 'mlp'");
    return;
  }
  if (context.network->gradient() == nullptr) {
    violations->Add("signal.name",
                    absl::StrFormat("%s has no gradient with respect to its weights, which the "
                                    "rule needs; use mlp or attention",
                                    spec.signal().name()));
  }
  if (spec.agent().has_target_kl()) {
    violations->Add("agent.target_kl",
                    "an update that stops early cannot be differentiated; remove it");
  }
  if (config.update.policy_gradient && spec.agent().surrogate() == v1::DPO) {
    violations->Add("agent.surrogate",
                    "is DPO; with rule.option.inner_loss a2c the agents' loss has no ratio: leave "
                    "it out, or set inner_loss to ppo");
  }
  const int64_t steps = context.steps();
  const auto fits = agents::CheckMinibatches(spec.agent().minibatches(),
                                             spec.agent().normalize_advantage(), steps);
  if (!fits.ok()) violations->Add("agent.minibatches", std::string(fits.message()));
  CheckCritic(config.critic, steps, violations);
  const int64_t updates = static_cast<int64_t>(spec.agent().epochs()) * spec.agent().minibatches();
  if (config.update.last_n > updates) {
    violations->Add("rule.option.last_n",
                    absl::StrFormat("is %d; an update has %d optimizer steps; use at most these, "
                                    "or 0 for all",
                                    config.update.last_n, updates));
  }
  if (config.value_error() && config.separate_critic && spec.signal().role() == v1::REWARD) {
    violations->Add("rule.option.critic",
                    "is separate; objective value_error differentiates the agents' own critic, "
                    "which must be inside");
  }
  CheckTarget(config, updates, violations);
  if (config.value_error() && context.network->gradient() != nullptr &&
      context.network->gradient()->SightOf(torch::zeros({2})).discounts.embedding > 0) {
    violations->Add("signal.option.critic_sees",
                    "is true; objective value_error differentiates a critic that sees the "
                    "observation alone: set it to false");
  }
  if (config.fresh && spec.lifetime().iterations() < 2) {
    violations->Add("lifetime.iterations",
                    "is 1; with outer_data fresh the gradient of an update comes with the next "
                    "iteration; use at least 2, or outer_data same");
  }
}

MetricTable Metrics() {
  using Panel = MetricInfo::Panel;
  MetricTable metrics = {
      {.name = "outer_loss", .help = "Outer loss of the updated agents."},
      {.name = "outer_clip_fraction", .help = "Share of steps whose ratio the outer loss clips."},
      {.name = "outer_advantage_std",
       .help = "Standard deviation of the outer advantages, before standardisation.",
       .log_scale = true},
      {.name = "outer_advantage_floored",
       .help = "Share of agents whose deviation is below advantage_std_floor."},
      {.name = "outer_theta_norm",
       .help = "Norm of the outer loss's gradient with respect to an agent's updated weights.",
       .log_scale = true},
      {.name = "inner_kl",
       .unit = "nat",
       .help = "Divergence of an agent's policy from that before its update, in the last step."},
      {.name = "inner_clip_fraction",
       .help = "Share of steps whose ratio the agents' loss clips, in the last step."},
      {.name = "inner_grad_norm",
       .help = "Norm of the gradient of the agents' loss before clipping, mean over the steps.",
       .log_scale = true},
      {.name = "entropy",
       .unit = "nat",
       .help = "Entropy of the agents' policies before their update.",
       .label = "entropy of the agents",
       .panel = Panel::kOwn},
      {.name = "value_loss",
       .help = "Value loss of the agents before their update.",
       .label = "value loss of the agents",
       .panel = Panel::kOwn},
  };
  for (const MetricInfo& metric : SegmentMetrics()) metrics.push_back(metric);
  return metrics;
}

// Memory of differentiable_update.h, of critics outside of it, and of the last lesson.
LoopSizes Sizes(const InnerLoopContext& context, int64_t num_meta_parameters) {
  const v1::AgentSpec& agent = context.spec().agent();
  const MetaGradientConfig config = ReadMetaGradient(context.options, agent);
  const signals::SignalGradient* gradient = context.network->gradient();
  // Weights for a network of gamma and lambda; other networks ignore them.
  const int64_t embedding =
      gradient != nullptr ? gradient->SightOf(torch::zeros({2})).discounts.embedding : 0;
  const agents::AgentShape whole = WithInput(ShapeWithCritic(context), embedding);
  const int64_t p = agents::AgentLayout(whole).size(), critic = CriticSize(whole) + 2 * embedding;
  const int64_t agents = context.num_agents(), steps = context.steps();
  const int64_t group = std::min(kGroupAgents, agents);
  const int64_t updates = int64_t{agent.epochs()} * agent.minibatches();
  const int64_t differentiated = config.update.last_n > 0 ? config.update.last_n : updates;
  const int64_t rows = 2 * (steps / std::max<int64_t>(1, agent.minibatches()) + 1);
  const bool replays = config.implementation == agents::UpdateImplementation::kReplay ||
                       (config.implementation == agents::UpdateImplementation::kAuto &&
                        differentiated > agents::kUnrolledStepsMax);
  const int64_t targets = config.bootstrap_steps > 0 ? 1 : 0;
  const int64_t permutations = (1 + targets) * int64_t{agent.epochs()} + config.critic.epochs;
  const int64_t at_once = replays ? 1 : differentiated;
  const int64_t graph = GraphNumbersPerStep(whole);
  const int64_t signal = context.network->NumbersPerStep(/*graph=*/true);
  const int64_t critic_rows = 2 * (steps / std::max<int64_t>(1, config.critic.minibatches) + 1);
  const int64_t seen = 2 * (whole.observation_size + whole.action_size) + 16;
  LoopSizes sizes;
  // Agents before and after, and two separate critics, each with an optimizer.
  sizes.state = 9 * p + 2 * 9 * critic;
  sizes.saved = 3 * p + 2 * 3 * critic + (config.fresh ? 3 * p + steps * seen : 0);
  sizes.policy = p - critic;
  // Values of all steps, minibatches' rows as int64, and the critics' graph.
  sizes.at_once =
      agents * (steps * (2 * graph + 2 * permutations + seen) + 2 * critic_rows * graph);
  sizes.at_once += targets * agents * p;
  // The last step to a target is one on all steps of a segment.
  sizes.per_thread =
      group * targets * (10 * p + 4 * steps * graph) +
      group * (3 * updates * p * (replays ? 1 : 0) + at_once * (4 * rows * graph + 10 * p) +
               steps * (2 * graph + 2 * signal)) +
      4 * num_meta_parameters;
  return sizes;
}

const RegisterInnerLoop kMetaGradient({
    .name = "meta_gradient",
    .summary = "Updates from task reward and signal, differentiated with respect to the signal",
    .options = kOptions.table(),
    .metrics = Metrics(),
    .surrogate = true,
    .check = Check,
    .make = MakeMetaGradient,
    .sizes = Sizes,
    .gives_gradient =
        [](const InnerLoopContext& context) {
          const bool fresh = kOptions.Read(context.options).fresh;
          return context.shard->outer_learning() && context.end() > (fresh ? 1 : 0);
        },
});

}  // namespace meta_gradient_options

MetaGradientConfig ReadMetaGradient(const OptionValues& options, const v1::AgentSpec& agent) {
  MetaGradientConfig config = meta_gradient_options::kOptions.Read(options);
  if (config.update.policy_gradient && !config.value_error())
    config.outer.form = OuterConfig::Form::kRatio;
  config.critic.max_grad_norm = agent.max_grad_norm();
  config.critic.normalize_advantage = false;
  return config;
}

bool IsSecondOrder(const OptionValues& options) {
  return !meta_gradient_options::kOptions.Read(options).update.first_order;
}

}  // namespace mentor::methods
