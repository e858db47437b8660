// Agents that learn by the learned policy gradient (Oh et al. 2020; methods/lpg/README.md). In
// training a window has K inner iterations with an update each, and one more that judges the
// updated agents. After that one the loop gives the gradient by the network's weights. With frozen
// weights agents update after every iteration.
#include <algorithm>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "agents/adam.h"
#include "agents/gae.h"
#include "agents/policy.h"
#include "methods/base/inner_loop.h"
#include "methods/base/loop_parts.h"
#include "methods/lpg/options.h"
#include "methods/lpg/update.h"
#include "methods/shared/critic.h"

namespace mentor::methods {
namespace {

using torch::Tensor;

class Lpg : public LearningLoop {
 public:
  explicit Lpg(const InnerLoopContext& context)
      : LearningLoop(context, LpgAgentShape(context)),
        options_(ReadLpg(context.options, spec().agent())),
        network_(options_.lpg.sizes),
        layout_(LpgAgentLayout(shape_, options_.lpg.sizes.predictions)),
        whole_(ShapeWithCritic(context)),
        teaches_(context.shard->outer_learning()) {}

  void Begin() override {
    const int64_t num_agents = context_.num_agents(), critic = CriticSize(whole_);
    const Tensor theta = torch::zeros({num_agents, layout_.size()}, torch::kFloat32);
    for (int64_t s = 0; s < num_agents; ++s) {
      agents::FillMatrices(
          layout_, context_.Random(Purpose::kAgentWeights, s, /*iteration=*/0),
          [&](const std::string& name) {
            return name == "y.W3" ? 1.0 : agents::InitialGain(shape_, name);
          },
          theta[s]);
    }
    agents_ = agents::NewAgents(theta);
    if (!teaches_) return;
    const Tensor whole = FreshAgents(context_, whole_).theta;
    critic_ = agents::NewAgents(whole.narrow(1, whole.size(1) - critic, critic).clone());
    before_ = agents_;
    const auto zeros = [&](int64_t steps, int64_t width) {
      return torch::zeros({num_agents, steps, width});
    };
    const int64_t steps = context_.steps();
    const Tensor none = torch::zeros({num_agents, steps});
    path_.assign(options_.lpg.updates, {.observations = zeros(steps, shape_.observation_size),
                                        .actions = zeros(steps, shape_.action_size),
                                        .rewards = none,
                                        .dones = none,
                                        .probs = none,
                                        .y = zeros(steps + 1, options_.lpg.sizes.predictions)});
  }

  absl::StatusOr<agents::Segment> Iterate(uint32_t iteration, const Collect& collect,
                                          LoopReport* report) override {
    MENTOR_ASSIGN_OR_RETURN(agents::Segment segment, collect(Policies()));
    const CpuTimer timer;
    const agents::Segment seen = normaliser_.Normalise(segment);
    const Tensor rewards =
        (options_.success ? seen.success_signals : seen.shaped_rewards).to(torch::kFloat64);
    const int64_t place = iteration % (options_.lpg.updates + 1);
    const bool judges = teaches_ && place == options_.lpg.updates;
    if (teaches_) MENTOR_RETURN_IF_ERROR(Judge(iteration, seen, rewards, judges, report));
    if (teaches_ ? !judges : LearnsAfter(iteration)) {
      if (place == 0) before_ = agents_;
      LpgSteps steps{.observations = seen.observations,
                     .actions = seen.actions,
                     .rewards = rewards.to(torch::kFloat32),
                     .dones = Dones(seen),
                     .probs = {},
                     .y = {}};
      Predict(layout_, agents_.theta, seen.next_observations, &steps);
      MENTOR_RETURN_IF_ERROR(Update(steps, report));
      if (teaches_) path_[place] = std::move(steps);
    }
    normaliser_.Add(segment.observations);
    report->update_seconds += timer.Seconds();
    return segment;
  }

  std::vector<v1::PolicyWeights> Policies() const override {
    const int64_t policy = agents::AgentLayout(shape_).size();
    return agents::ToPolicyWeights(shape_,
                                   normaliser_.Fold(shape_, agents_.theta.narrow(1, 0, policy)));
  }

  void State(StateFields* fields) override {
    LearningLoop::State(fields);
    AddAgents("critic", &critic_, fields);
    if (!teaches_) return;
    AddAgents("before", &before_, fields);
    for (size_t k = 0; k < path_.size(); ++k) {
      const auto add = [&](const char* name, Tensor LpgSteps::*member) {
        fields->Add(absl::StrCat("path.", k, ".", name), &(path_[k].*member));
      };
      add("observations", &LpgSteps::observations);
      add("actions", &LpgSteps::actions);
      add("rewards", &LpgSteps::rewards);
      add("dones", &LpgSteps::dones);
      add("probs", &LpgSteps::probs);
      add("y", &LpgSteps::y);
    }
  }

 private:
  static Tensor Dones(const agents::Segment& seen) {
    return torch::cat(
        {seen.prev_done.narrow(1, 1, seen.prev_done.size(1) - 1), seen.last_done.unsqueeze(1)}, 1);
  }

  // Fits the critic of the task's reward; before that, its advantages judge the agents if asked.
  absl::Status Judge(uint32_t iteration, const agents::Segment& seen, const Tensor& rewards,
                     bool judges, LoopReport* report) {
    agents::Segment judged = seen;
    AddValues([this](const Tensor& x) { return CriticValues(whole_, critic_.theta, x); }, seen,
              &judged);
    const agents::Advantages outer =
        AdvantagesOf(rewards, judged, options_.gamma_out, options_.lambda_out);
    const OuterRows rows{
        seen.observations, seen.actions, seen.log_probs, outer.advantages.to(torch::kFloat32), {}};
    if (judges) MENTOR_RETURN_IF_ERROR(TeachFrom(rows, report));
    MENTOR_ASSIGN_OR_RETURN(
        const std::vector<Tensor> minibatches,
        context_.Minibatches(iteration, options_.critic.epochs, options_.critic.minibatches));
    MENTOR_ASSIGN_OR_RETURN(critic_, FitCritic(whole_, options_.critic, critic_, seen.observations,
                                               outer.returns.to(torch::kFloat32), minibatches));
    return absl::OkStatus();
  }

  absl::Status TeachFrom(const OuterRows& rows, LoopReport* report) const {
    std::vector<LpgGradient> parts(NumGroups(context_));
    MENTOR_RETURN_IF_ERROR(ForGroups(context_, [&](int64_t group, int64_t first, int64_t count) {
      std::vector<LpgSteps> path;
      for (const LpgSteps& steps : path_) path.push_back(steps.Agents(first, count));
      MENTOR_ASSIGN_OR_RETURN(
          parts[group],
          Teach(options_.lpg, network_, layout_, context_.meta_parameters,
                agents::SomeAgents(before_, first, count), path, rows.Agents(first, count)));
      return absl::OkStatus();
    }));
    report->outer_gradient = torch::zeros({network_.layout().size()}, torch::kFloat64);
    for (const LpgGradient& part : parts) report->outer_gradient += part.weights;
    const auto statistic = [&](const char* name, Tensor LpgGradient::*member) {
      std::vector<Tensor> numbers;
      for (const LpgGradient& part : parts)
        numbers.push_back((part.*member).masked_select(part.finite));
      const Tensor all = torch::cat(numbers).to(torch::kFloat64);
      if (all.numel() > 0) report->statistics[name] = all.mean().item<double>();
    };
    statistic("outer_loss", &LpgGradient::policy_loss);
    statistic("entropy", &LpgGradient::policy_entropy);
    statistic("prediction_entropy", &LpgGradient::prediction_entropy);
    return absl::OkStatus();
  }

  absl::Status Update(const LpgSteps& steps, LoopReport* report) {
    std::vector<agents::AgentBatch> after(NumGroups(context_));
    std::vector<Tensor> pi_hats(NumGroups(context_));
    MENTOR_RETURN_IF_ERROR(ForGroups(context_, [&](int64_t group, int64_t first, int64_t count) {
      const LpgSteps own = steps.Agents(first, count);
      const LpgOutputs said = Ask(options_.lpg, network_, context_.meta_parameters, own);
      pi_hats[group] = said.pi_hat;
      after[group] =
          LpgUpdate(options_.lpg, layout_, agents::SomeAgents(agents_, first, count), own, said);
      return absl::OkStatus();
    }));
    const agents::AgentBatch next = agents::JoinAgents(after);
    const Tensor finite = agents::IsFinite(next);
    agents_ = agents::ChooseAgents(finite, next, agents_);
    report->nonfinite_updates += finite.logical_not().sum().item<int64_t>();
    const Tensor pi_hat = torch::cat(pi_hats).to(torch::kFloat64);
    if (!pi_hat.isfinite().all().item<bool>()) return absl::OkStatus();
    report->statistics["pi_hat_mean"] = pi_hat.mean().item<double>();
    report->statistics["pi_hat_sd"] = pi_hat.std(/*unbiased=*/false).item<double>();
    return absl::OkStatus();
  }

  // Fixed after construction.
  const LpgOptions options_;
  const LpgNetwork network_;
  const agents::ParamLayout layout_;
  const agents::AgentShape whole_;  // With the critic of the task's reward.
  const bool teaches_;
  agents::AgentBatch critic_, before_;  // `before_`: the agents where the window began.
  std::vector<LpgSteps> path_;          // K, of the window so far
};

LoopSizes Sizes(const InnerLoopContext& context, int64_t num_meta_parameters) {
  const LpgOptions options = ReadLpg(context.options, context.spec().agent());
  const agents::AgentShape shape = LpgAgentShape(context);
  const int64_t p = LpgAgentLayout(shape, options.lpg.sizes.predictions).size(),
                critic = CriticSize(ShapeWithCritic(context)), steps = context.steps(),
                updates = options.lpg.updates, m = options.lpg.sizes.predictions;
  const int64_t path = updates * (steps + 1) * (shape.observation_size + shape.action_size + m + 3);
  const int64_t graph = GraphNumbersPerStep(shape) + 8 * m;
  const int64_t network = LpgNetwork(options.lpg.sizes).NumbersPerStep();
  const int64_t group = std::min(kGroupAgents, context.num_agents());
  LoopSizes sizes;
  sizes.state = 12 * p + 9 * critic + 2 * path;
  sizes.saved = 6 * p + 3 * critic + path;
  sizes.policy = agents::AgentLayout(shape).size();
  sizes.at_once = context.num_agents() * steps * (4 * graph + 2 * options.critic.epochs + 8 * m);
  sizes.per_thread = group * (updates * steps * (2 * network + 6 * m) + 3 * updates * p +
                              steps * 6 * graph + 12 * p) +
                     6 * num_meta_parameters;
  return sizes;
}

const RegisterInnerLoop kLpg({
    .name = "lpg",
    .summary = "Agents with a policy and a prediction, which a learned network updates",
    .options = LpgOptionTable(),
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
    .check = CheckLpg,
    .make = MadeLoop<Lpg>,
    .sizes = Sizes,
    .gives_gradient =
        [](const InnerLoopContext& context) {
          const int64_t window = ReadLpg(context.options, context.spec().agent()).lpg.updates + 1;
          const int64_t first = context.shard->first_iteration();
          return context.shard->outer_learning() && context.end() / window > first / window;
        },
});

}  // namespace
}  // namespace mentor::methods
