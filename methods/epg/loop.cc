// Agents that descend a learned loss (evolved policy gradients, Houthooft et al. 2018;
// methods/epg/README.md):
//
//   theta <- Adam(theta, grad_theta [(1 - w) L_phi + w L_ppo])
//
// In training each agent has a loss of its own: phi plus or minus sigma times a perturbation, as in
// methods/evolution_strategies/loop.cc. Frozen meta-parameters are used as they are.
#include "methods/epg/loop.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <vector>

#include <absl/strings/str_format.h>

#include "agents/adam.h"
#include "agents/differentiable_update.h"
#include "agents/policy.h"
#include "agents/ppo_config.h"
#include "agents/ppo_loss.h"
#include "common/check.h"
#include "methods/base/inner_loop.h"
#include "methods/base/loop_parts.h"
#include "methods/shared/critic.h"
#include "methods/shared/perturbation.h"
#include "methods/shared/state_std_policy.h"

namespace mentor::methods {

using torch::Tensor;

double MixOf(uint32_t outer_step, uint32_t outer_updates, double mix_fraction, double mix_final) {
  const double length = mix_fraction * outer_updates;
  if (outer_step >= length) return mix_final;
  return 1 - (1 - mix_final) * outer_step / length;
}

namespace epg_loop {

constexpr double kContextStd = 0.01;

// Appends x [S, n, ...] to the last N - n of `kept` [S, N, ...].
Tensor Shifted(const Tensor& kept, const Tensor& x) {
  return torch::cat({kept.narrow(1, x.size(1), kept.size(1) - x.size(1)), x.to(kept.options())}, 1);
}

struct Config {
  double sigma, mix_fraction, mix_final;
};

const auto kOptions =
    Bind<Config>({{&Config::sigma, PerturbationOptions("0.01")},
                  {&Config::mix_fraction, "mix_fraction", "0.125", 0, 1,
                   "Share of the outer updates over which the part of PPO in the agents' loss "
                   "falls from 1 to mix_final."},
                  {&Config::mix_final, "mix_final", "0", 0, 1,
                   "Part of PPO after that, and in evaluations; 0: the learned loss alone."}});

class EvolvedLoss : public LearningLoop {
 public:
  explicit EvolvedLoss(const InnerLoopContext& context)
      : LearningLoop(context, ShapeWithCritic(context)),
        config_(kOptions.Read(context.options)),
        loss_(*context.network->loss()),
        sizes_(loss_.sizes()),
        layout_(agents::AgentLayout(shape_)),
        mix_(Mix()) {}

  void Begin() override {
    LearningLoop::Begin();
    const int64_t num_agents = context_.num_agents();
    std::vector<Tensor> numbers;
    for (int64_t s = 0; s < num_agents; ++s) {
      numbers.push_back(agents::Normals(context_.Random(Purpose::kAgentWeights, s, /*iteration=*/0),
                                        static_cast<uint32_t>(layout_.slices().size()),
                                        {sizes_.context}));
    }
    agents_ = agents::NewAgents(
        torch::cat({agents_.theta, (kContextStd * torch::stack(numbers)).to(torch::kFloat32)}, 1));
    const auto zeros = [&](int64_t width) {
      return torch::zeros({num_agents, sizes_.steps, width});
    };
    observations_ = zeros(shape_.observation_size);
    actions_ = zeros(shape_.action_size);
    rewards_ = zeros(1);
    dones_ = zeros(1);
  }

  absl::StatusOr<agents::Segment> Iterate(uint32_t iteration, const Collect& collect,
                                          LoopReport* report) override {
    report->statistics["mix"] = mix_;
    return CollectAndLearn(collect, report, [&](const agents::Segment& segment) {
      const agents::Segment seen = normaliser_.Normalise(segment);
      Remember(seen);
      return LearnsAfter(iteration) ? Update(iteration, seen, report) : absl::OkStatus();
    });
  }

  void State(StateFields* fields) override {
    LearningLoop::State(fields);
    fields->Add("buffer.observations", &observations_);
    fields->Add("buffer.actions", &actions_);
    fields->Add("buffer.rewards", &rewards_);
    fields->Add("buffer.dones", &dones_);
  }

 private:
  // What all steps of an update share.
  struct Targets {
    agents::PpoConfig config;
    Tensor weights = {};  // [S, Q]: weights of each agent's loss
    // [S, T]; undefined without a PPO part.
    Tensor advantages = {}, returns = {}, log_probs = {}, values = {};
  };

  double Mix() const {
    const v1::RuleSpec& rule = spec().rule();
    if (!context_.shard->outer_learning()) return config_.mix_final;
    return MixOf(context_.lifetime_numbers()[0] / rule.lifetimes_per_update(), rule.outer_updates(),
                 config_.mix_fraction, config_.mix_final);
  }

  // theta without the context's numbers.
  Tensor Networks(const Tensor& theta) const { return theta.narrow(1, 0, layout_.size()); }

  Tensor RewardsOf(const agents::Segment& segment) const {
    return signals::TaskReward(segment, spec().signal().input());
  }

  // Keeps the newest N steps, as the agents saw them.
  void Remember(const agents::Segment& seen) {
    observations_ = Shifted(observations_, seen.observations);
    actions_ = Shifted(actions_, seen.actions);
    rewards_ = Shifted(rewards_, RewardsOf(seen).unsqueeze(2));
    dones_ = Shifted(dones_, agents::Ends(seen).unsqueeze(2));
  }

  // [S, Q].
  Tensor Weights() const {
    const Tensor& phi = context_.meta_parameters;
    if (!context_.shard->outer_learning()) return phi.expand({context_.num_agents(), phi.numel()});
    std::vector<Tensor> rows;
    for (const uint32_t number : context_.lifetime_numbers())
      rows.push_back(Perturbed(phi, config_.sigma, spec().seed(), number));
    return torch::stack(rows);
  }

  ActionDistribution ActOn(const Tensor& theta, const Tensor& observations) const {
    const agents::AgentNetworks networks = agents::SplitAgents(layout_, Networks(theta));
    ActionDistribution policy{.output = agents::Forward(networks.policy, observations),
                              .log_std = {}};
    if (networks.log_std.defined()) policy.log_std = networks.log_std.unsqueeze(1);
    return policy;
  }

  // [S, N, p].
  static Tensor OutputsOf(const ActionDistribution& policy) {
    if (!policy.log_std.defined()) return policy.output.softmax(-1);
    return torch::cat({policy.output, policy.log_std.expand_as(policy.output)}, 2);
  }

  absl::Status Update(uint32_t iteration, const agents::Segment& seen, LoopReport* report) {
    Targets targets{
        .config = agents::PpoConfigFromSpec(spec().agent(), /*update=*/iteration + 1,
                                            /*num_updates=*/spec().lifetime().iterations() - 1),
        .weights = Weights()};
    targets.config.max_grad_norm = std::nullopt;
    targets.config.entropy_coef = 0;
    if (mix_ > 0) AddPpo(seen, &targets);

    const agents::AgentBatch before = agents_;
    Tensor finite = torch::ones({context_.num_agents()}, torch::kBool);
    Tensor first, last;
    MENTOR_ASSIGN_OR_RETURN(
        const std::vector<Tensor> minibatches,
        context_.Minibatches(iteration, targets.config.epochs, targets.config.minibatches));
    for (const Tensor& rows : minibatches) {
      MENTOR_RETURN_IF_ERROR(agents::CheckInterrupt());
      last = Step(targets, seen, rows, &finite);
      if (!first.defined()) first = last;
    }
    // An agent with a number that is not finite stays as it was.
    agents_ = agents::ChooseAgents(finite, agents_, before);
    Report(seen, before, finite, first, last, report);
    return absl::OkStatus();
  }

  void AddPpo(const agents::Segment& seen, Targets* targets) const {
    const Tensor theta = Networks(agents_.theta);
    const agents::AgentNetworks networks = agents::SplitAgents(layout_, theta);
    const auto value = [&](const Tensor& observations) {
      return agents::Forward(networks.value, observations).squeeze(-1);
    };
    agents::Segment judged = seen;
    AddValues(value, seen, &judged);
    targets->values = judged.values;
    const agents::Advantages advantages =
        AdvantagesOf(RewardsOf(seen), judged, targets->config.gamma, targets->config.gae_lambda);
    targets->advantages = advantages.advantages.to(torch::kFloat32);
    targets->returns = advantages.returns.to(torch::kFloat32);
    targets->log_probs = seen.log_probs;
  }

  // One step of all agents on rows [S, B] of the newest steps. Returns the learned losses [S].
  Tensor Step(const Targets& targets, const agents::Segment& seen, const Tensor& rows,
              Tensor* finite) {
    const c10::AutoGradMode gradients_on(true);
    const Tensor theta = agents_.theta.detach().requires_grad_(true);
    const Tensor learned =
        loss_.Loss(targets.weights, {.observations = observations_,
                                     .actions = actions_,
                                     .rewards = rewards_.squeeze(2),
                                     .dones = dones_.squeeze(2),
                                     .policy = OutputsOf(ActOn(theta, observations_)),
                                     .context = theta.narrow(1, layout_.size(), sizes_.context),
                                     .rows = rows + (sizes_.steps - context_.steps())});
    Tensor loss = (1 - mix_) * learned;
    if (mix_ > 0) {
      const auto take = [&](const Tensor& x) { return agents::TakeRows(x, rows); };
      loss = loss +
             mix_ * PpoLoss(layout_, Networks(theta),
                            {take(seen.observations), take(seen.actions), take(targets.log_probs),
                             take(targets.advantages), take(targets.returns), take(targets.values)},
                            targets.config)
                        .loss;
    }
    // The sum keeps agents independent.
    const Tensor gradient = torch::autograd::grad({loss.sum()}, {theta})[0];
    const c10::AutoGradMode gradients_off(false);
    *finite = finite->logical_and(loss.isfinite()).logical_and(gradient.isfinite().all(1));
    agents_ = agents::OptimizerStep(agents_, gradient, targets.config);
    return learned.detach();
  }

  void Report(const agents::Segment& seen, const agents::AgentBatch& before, const Tensor& finite,
              const Tensor& first, const Tensor& last, LoopReport* report) const {
    const int64_t updated = finite.sum().item<int64_t>();
    report->nonfinite_updates += static_cast<uint64_t>(context_.num_agents() - updated);
    if (updated == 0) return;
    const auto mean = [&](const Tensor& x) {
      return x.to(torch::kFloat64).masked_select(finite).mean().item<double>();
    };
    report->statistics["learned_loss_first"] = mean(first);
    report->statistics["learned_loss_last"] = mean(last);
    // The mean over the numbers of an action becomes their sum.
    const double numbers = shape_.discrete ? 1 : static_cast<double>(shape_.action_size);
    report->statistics["policy_kl"] = numbers * MeanKl(ActOn(before.theta, seen.observations),
                                                       ActOn(agents_.theta, seen.observations))
                                                    .item<double>();
  }

  const Config config_;
  const signals::LearnedLoss& loss_;  // The context keeps it.
  const signals::LossSizes sizes_;
  const agents::ParamLayout layout_;  // Policy and critic; the context's numbers follow in theta.
  const double mix_;                  // w
  // [S, N, ...] float32, oldest first; zeros before the first steps.
  Tensor observations_, actions_, rewards_, dones_;
};

LoopSizes Sizes(const InnerLoopContext& context, int64_t num_meta_parameters) {
  const signals::LossSizes loss = context.network->loss()->sizes();
  const agents::AgentShape shape = ShapeWithCritic(context);
  const int64_t p = agents::AgentLayout(shape).size() + loss.context;
  const int64_t buffer = loss.steps * (shape.observation_size + shape.action_size + 2);
  LoopSizes sizes = SizesOfPpoAgents(context);
  sizes.device_bytes = 0;
  // Weights and moments before and after, and a step's copies; the weights of the agent's loss and
  // their perturbation in double.
  sizes.state = 10 * p + 2 * buffer + 4 * num_meta_parameters;
  sizes.saved = 3 * p + buffer;
  const int64_t graph =
      GraphNumbersPerStep(shape) + context.network->NumbersPerStep(/*graph=*/true);
  sizes.at_once += context.num_agents() * 2 * loss.steps * graph;
  // Minibatches' rows as int64, all epochs at once.
  const int64_t epochs = context.spec().agent().epochs();
  sizes.at_once += context.num_agents() * 2 * epochs * context.steps();
  return sizes;
}

// PPO's own settings, too, where its loss has no part in that of the agents.
std::vector<std::string> Unread(const InnerLoopContext& context) {
  std::vector<std::string> unread = {"max_grad_norm", "entropy_coef", "target_kl"};
  if (kOptions.Read(context.options).mix_final == 0) {
    unread.insert(unread.end(), {"clip", "gamma", "gae_lambda", "value_coef", "clip_value_loss",
                                 "normalize_advantage", "bootstrap_on_truncation", "surrogate",
                                 "dpo_alpha", "dpo_beta"});
  }
  return unread;
}

const RegisterInnerLoop kEvolvedLoss({
    .name = "evolved_loss",
    .summary = "Agents that descend a learned loss, each its own perturbed one",
    .options = kOptions.table(),
    .metrics = {{.name = "mix", .help = "Part of PPO in the agents' loss."},
                {.name = "learned_loss_first",
                 .help = "Learned loss at the first step of the last update, mean over agents."},
                {.name = "learned_loss_last",
                 .help = "Learned loss at its last step, mean over agents."},
                {.name = "policy_kl",
                 .help = "KL divergence of the policy after an update from the one before, mean "
                         "over steps."}},
    .learned_loss = true,
    .surrogate = true,
    .check =
        [](const InnerLoopContext& context, Violations* violations) {
          if (context.network == nullptr) {
            violations->Add("signal", "is missing; agents that descend a learned loss need one");
          } else if (const int64_t steps = context.network->loss()->sizes().steps;
                     steps < context.steps()) {
            violations->Add("signal.option.buffer",
                            absl::StrFormat("is %d, less than the %d steps of an inner iteration "
                                            "(lifetime.steps_per_iteration); give at least that",
                                            steps, context.steps()));
          }
        },
    .make = MadeLoop<EvolvedLoss>,
    .sizes = Sizes,
    .unread = Unread,
});

}  // namespace epg_loop
}  // namespace mentor::methods
