// Agents that learn by the learned policy gradient (Oh et al. 2020; methods/lpg/README.md). In
// training a window has K inner iterations with an update each, and one more that judges the
// updated agents. After that one the loop gives the gradient by the network's weights. With frozen
// weights agents update after every iteration.
#include "methods/lpg/loop.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "agents/adam.h"
#include "agents/gae.h"
#include "methods/base/inner_loop.h"
#include "methods/base/loop_parts.h"
#include "methods/shared/critic.h"

namespace mentor::methods {

using torch::Tensor;

namespace lpg_loop {

// The first weights are orthogonal, and making those of 4096 units takes minutes.
constexpr double kLstmUnitsMax = 1024;

const auto kOptions = Bind<LpgConfig>(
    {{&LpgConfig::success,
      "extrinsic",
      {{"shaped", false}, {"success", true}},
      "The task's reward, for network and outer loss: the environment's, or the success signal."},
     {&LpgConfig::updates, "updates", "5", 1, 100,
      "Updates of an agent (K) before what it then does moves the network."},
     {In(&LpgConfig::sizes, &LpgSizes::unroll), "unroll", "20", 1, 10000,
      "Steps that the network reads at once, backward; divides lifetime.steps_per_iteration."},
     {&LpgConfig::alpha_y, "alpha_y", "0.5", 0, 1000,
      "Weight of KL(y || y-hat) in the agents' loss."},
     {&LpgConfig::policy_entropy, "policy_entropy", "0.05", 0, 1000,
      "Weight of the entropy of the updated policies in the outer objective (beta 0)."},
     {&LpgConfig::prediction_entropy, "prediction_entropy", "1e-3", 0, 1000,
      "Weight of the entropy of the updated predictions (beta 1)."},
     {&LpgConfig::pi_hat_square, "pi_hat_square", "5e-3", 0, 1000,
      "Weight of the square of pi-hat, which is subtracted (beta 2)."},
     {&LpgConfig::y_hat_square, "y_hat_square", "1e-3", 0, 1000,
      "Weight of the square of y-hat, which is subtracted (beta 3)."},
     {In(&LpgConfig::sizes, &LpgSizes::predictions), "predictions", "30", 2, 1000,
      "Numbers of the categorical prediction y (m)."},
     {In(&LpgConfig::sizes, &LpgSizes::embedding), "embedding", "16", 1, 4096,
      "Hidden units of the network's embedding of y."},
     {In(&LpgConfig::sizes, &LpgSizes::lstm), "lstm_units", "256", 1, kLstmUnitsMax,
      "Units of the network's LSTM."},
     {&LpgConfig::gamma_out, "gamma_out", "0.99", 0, 1, "Discount of the outer objective."},
     {&LpgConfig::lambda_out, "lambda_out", "0.95", 0, 1, "Lambda of its advantages."},
     {&LpgConfig::critic,
      CriticOptions("Adam's, of the critics behind the outer objective's advantages.")}});

LpgConfig ConfigOf(const InnerLoopContext& context) {
  return ReadLpg(context.options, context.spec(), context.shape());
}

class Lpg : public LearningLoop {
 public:
  explicit Lpg(const InnerLoopContext& context)
      : LearningLoop(context, ConfigOf(context).agent),
        config_(ConfigOf(context)),
        whole_(ShapeWithCritic(context)),
        teaches_(context.shard->outer_learning()) {}

  void Begin() override {
    LearningLoop::Begin();
    if (!teaches_) return;
    const int64_t critic = CriticSize(whole_), steps = context_.steps();
    const Tensor whole = FreshAgents(context_, whole_).theta;
    critic_ = agents::NewAgents(whole.narrow(1, whole.size(1) - critic, critic).clone());
    before_ = agents_;
    const auto zeros = [&](int64_t rows, int64_t width) {
      return torch::zeros({context_.num_agents(), rows, width});
    };
    const Tensor none = zeros(steps, 1).squeeze(2);
    path_.assign(config_.updates, {.observations = zeros(steps, shape_.observation_size),
                                   .actions = zeros(steps, shape_.action_size),
                                   .rewards = none,
                                   .dones = none,
                                   .probs = none,
                                   .y = zeros(steps + 1, config_.sizes.predictions)});
  }

  absl::StatusOr<agents::Segment> Iterate(uint32_t iteration, const Collect& collect,
                                          LoopReport* report) override {
    return CollectAndLearn(collect, report, [&](const agents::Segment& segment) {
      return Learn(iteration, normaliser_.Normalise(segment), report);
    });
  }

  void State(StateFields* fields) override {
    LearningLoop::State(fields);
    AddAgents("critic", &critic_, fields);
    if (!teaches_) return;
    AddAgents("before", &before_, fields);
    for (size_t k = 0; k < path_.size(); ++k) {
      LpgSteps& steps = path_[k];
      for (const auto& [name, tensor] : {std::pair("observations", &steps.observations),
                                         {"actions", &steps.actions},
                                         {"rewards", &steps.rewards},
                                         {"dones", &steps.dones},
                                         {"probs", &steps.probs},
                                         {"y", &steps.y}})
        fields->Add(absl::StrCat("path.", k, ".", name), tensor);
    }
  }

 private:
  absl::Status Learn(uint32_t iteration, const agents::Segment& seen, LoopReport* report) {
    const Tensor rewards =
        (config_.success ? seen.success_signals : seen.shaped_rewards).to(torch::kFloat64);
    const int64_t place = iteration % (config_.updates + 1);
    const bool judges = teaches_ && place == config_.updates;
    if (teaches_) MENTOR_RETURN_IF_ERROR(Judge(iteration, seen, rewards, judges, report));
    if (teaches_ ? judges : !LearnsAfter(iteration)) return absl::OkStatus();
    if (place == 0) before_ = agents_;
    LpgSteps steps{.observations = seen.observations,
                   .actions = seen.actions,
                   .rewards = rewards.to(torch::kFloat32),
                   .dones = agents::Ends(seen),
                   .probs = {},
                   .y = {}};
    Predict(config_, agents_.theta, seen.next_observations, &steps);
    MENTOR_RETURN_IF_ERROR(Update(steps, report));
    if (teaches_) path_[place] = std::move(steps);
    return absl::OkStatus();
  }

  // Fits the critic of the task's reward; before that, its advantages judge the agents if asked.
  absl::Status Judge(uint32_t iteration, const agents::Segment& seen, const Tensor& rewards,
                     bool judges, LoopReport* report) {
    agents::Segment judged = seen;
    AddValues([this](const Tensor& x) { return CriticValues(whole_, critic_.theta, x); }, seen,
              &judged);
    const agents::Advantages outer =
        AdvantagesOf(rewards, judged, config_.gamma_out, config_.lambda_out);
    const OuterRows rows{
        seen.observations, seen.actions, seen.log_probs, outer.advantages.to(torch::kFloat32), {}};
    if (judges) MENTOR_RETURN_IF_ERROR(TeachFrom(rows, report));
    MENTOR_ASSIGN_OR_RETURN(
        const std::vector<Tensor> minibatches,
        context_.Minibatches(iteration, config_.critic.epochs, config_.critic.minibatches));
    MENTOR_ASSIGN_OR_RETURN(critic_, FitCritic(whole_, config_.critic, critic_, seen.observations,
                                               outer.returns.to(torch::kFloat32), minibatches));
    return absl::OkStatus();
  }

  absl::Status TeachFrom(const OuterRows& rows, LoopReport* report) const {
    const auto of_group = [&](int64_t first, int64_t count) {
      std::vector<LpgSteps> path;
      for (const LpgSteps& steps : path_) path.push_back(steps.Agents(first, count));
      return Teach(config_, context_.meta_parameters, agents::SomeAgents(before_, first, count),
                   path, rows.Agents(first, count));
    };
    MENTOR_ASSIGN_OR_RETURN(const auto parts, ForGroups<LpgGradient>(context_, of_group));
    report->outer_gradient = torch::zeros_like(parts[0].weights);
    for (const LpgGradient& part : parts) report->outer_gradient += part.weights;
    const Tensor finite = agents::Joined(parts, &LpgGradient::finite);
    const auto statistic = [&](const char* name, Tensor LpgGradient::*member) {
      const Tensor all = agents::Joined(parts, member).masked_select(finite).to(torch::kFloat64);
      if (all.numel() > 0) report->statistics[name] = all.mean().item<double>();
    };
    statistic("outer_loss", &LpgGradient::policy_loss);
    statistic("entropy", &LpgGradient::policy_entropy);
    statistic("prediction_entropy", &LpgGradient::prediction_entropy);
    return absl::OkStatus();
  }

  absl::Status Update(const LpgSteps& steps, LoopReport* report) {
    struct Part {
      agents::AgentBatch after;
      Tensor pi_hat;
    };
    const auto of_group = [&](int64_t first, int64_t count) -> absl::StatusOr<Part> {
      const LpgSteps own = steps.Agents(first, count);
      const LpgOutputs said =
          Ask(config_.sizes, config_.update.ppo.gamma, context_.meta_parameters, own);
      return Part{
          agents::Descend(agents::SomeAgents(agents_, first, count), config_.update.ppo,
                          [&](const Tensor& theta) { return LpgLoss(config_, theta, own, said); }),
          said.pi_hat};
    };
    MENTOR_ASSIGN_OR_RETURN(const auto parts, ForGroups<Part>(context_, of_group));
    std::vector<agents::AgentBatch> after;
    for (const Part& part : parts) after.push_back(part.after);
    const agents::AgentBatch next = agents::JoinAgents(after);
    const Tensor finite = agents::IsFinite(next);
    agents_ = agents::ChooseAgents(finite, next, agents_);
    report->nonfinite_updates += finite.logical_not().sum().item<int64_t>();
    const Tensor pi_hat = agents::Joined(parts, &Part::pi_hat).to(torch::kFloat64);
    if (!pi_hat.isfinite().all().item<bool>()) return absl::OkStatus();
    report->statistics["pi_hat_mean"] = pi_hat.mean().item<double>();
    report->statistics["pi_hat_sd"] = pi_hat.std(/*unbiased=*/false).item<double>();
    return absl::OkStatus();
  }

  // Fixed after construction.
  const LpgConfig config_;
  const agents::AgentShape whole_;  // With the critic of the task's reward.
  const bool teaches_;
  agents::AgentBatch critic_, before_;  // `before_`: the agents where the window began.
  std::vector<LpgSteps> path_;          // K, of the window so far
};

void Check(const InnerLoopContext& context, Violations* violations) {
  const LpgConfig config = ConfigOf(context);
  const int64_t steps = context.steps();
  CheckChoices(context, "the network reads the probability of a choice", "grid_world", violations);
  if (steps % config.sizes.unroll != 0) {
    violations->Add("rule.option.unroll",
                    absl::StrFormat("is %d, which does not divide the %d steps of an inner "
                                    "iteration (lifetime.steps_per_iteration); change one of them",
                                    config.sizes.unroll, steps));
  }
  CheckCritic(config.critic, steps, violations);
  if (context.spec().agent().anneal_learning_rate()) {
    violations->Add("agent.anneal_learning_rate",
                    "is true, but all updates of a window are differentiated with one rate: set "
                    "it to false");
  }
  CheckMetaParameters(context, LpgLayout(config.sizes).size(),
                      absl::StrFormat("the network of %d units and %d predictions",
                                      config.sizes.lstm, config.sizes.predictions),
                      violations);
}

LoopSizes Sizes(const InnerLoopContext& context, int64_t num_meta_parameters) {
  const LpgConfig config = ConfigOf(context);
  const agents::AgentShape& shape = config.agent;
  const int64_t p = agents::AgentLayout(shape).size(),
                critic = CriticSize(ShapeWithCritic(context)), steps = context.steps(),
                updates = config.updates, m = config.sizes.predictions;
  const int64_t path = updates * (steps + 1) * (shape.observation_size + shape.action_size + m + 3);
  const int64_t graph = GraphNumbersPerStep(shape) + 8 * m;
  const int64_t network = LpgNumbersPerStep(config.sizes);
  const int64_t group = std::min(kGroupAgents, context.num_agents());
  return {.state = 12 * p + 9 * critic + 2 * path,
          .saved = 6 * p + 3 * critic + path,
          .policy = agents::AgentLayout(agents::WithoutCritic(shape)).size(),
          .at_once = context.num_agents() * steps * (4 * graph + 2 * config.critic.epochs + 8 * m),
          .per_thread = group * (updates * steps * (2 * network + 6 * m) + 3 * updates * p +
                                 steps * 6 * graph + 12 * p) +
                        6 * num_meta_parameters};
}

const RegisterInnerLoop kLpg({
    .name = "lpg",
    .summary = "Agents with a policy and a prediction, which a learned network updates",
    .options = kOptions.table(),
    .metrics = {{.name = "outer_loss",
                 .help = "Loss of the task's reward that the updated agents have, -mean(A ln pi)."},
                {.name = "entropy",
                 .unit = "nat",
                 .help = "Entropy of the updated agents' policies.",
                 .label = "entropy of the agents",
                 .panel = MetricInfo::Panel::kOwn},
                {.name = "prediction_entropy",
                 .unit = "nat",
                 .help = "Entropy of the updated agents' predictions y.",
                 .label = "entropy of the predictions",
                 .panel = MetricInfo::Panel::kOwn},
                {.name = "pi_hat_mean", .help = "Mean of pi-hat over steps and agents."},
                {.name = "pi_hat_sd", .help = "Standard deviation of pi-hat."}},
    .check = Check,
    .make = MadeLoop<Lpg>,
    .sizes = Sizes,
    .unread = [](const InnerLoopContext&) -> std::vector<std::string> {
      return {"epochs",
              "minibatches",
              "gae_lambda",
              "clip",
              "value_coef",
              "entropy_coef",
              "normalize_advantage",
              "clip_value_loss",
              "target_kl",
              "bootstrap_on_truncation"};
    },
    .gives_gradient =
        [](const InnerLoopContext& context) {
          const int64_t window = ConfigOf(context).updates + 1;
          const int64_t first = context.shard->first_iteration();
          return context.shard->outer_learning() && context.end() / window > first / window;
        },
});

}  // namespace lpg_loop

LpgConfig ReadLpg(const OptionValues& options, const v1::ExperimentSpec& spec,
                  const v1::EnvironmentShape& environment) {
  LpgConfig config = lpg_loop::kOptions.Read(options);
  config.agent = ShapeOfAgents(spec.agent(), environment);
  config.agent.value_outputs = config.sizes.predictions;
  config.update.ppo = agents::PpoConfigFromSpec(spec.agent(), /*update=*/1, /*num_updates=*/1);
  config.critic.max_grad_norm = spec.agent().max_grad_norm();
  return config;
}

}  // namespace mentor::methods
