// Agents that learn from task reward and signal, and the gradient of their later performance by the
// signal's weights (methods/meta_gradient/README.md: LIRPG, SAIR, MetaIRN, and gamma and lambda).
//
//   r = c_ex r_ex + c_in signal(phi)     (role ADVANTAGE: A = signal(phi))
//   theta' = U(theta, GAE(r)),  J = extrinsic PPO loss of theta',  dJ/dphi back through U
//
// Outer data `same` takes J on the segment of the update. Outer data `fresh` takes it on the next
// segment, which theta' collected. The inputs of U are kept until then, in the snapshot.
#include "methods/meta_gradient/loop.h"

#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>

#include "agents/adam.h"
#include "agents/differentiable_update.h"
#include "agents/gae.h"
#include "agents/policy.h"
#include "common/check.h"
#include "methods/base/inner_loop.h"
#include "methods/base/loop_parts.h"
#include "methods/meta_gradient/bootstrap.h"
#include "methods/shared/critic.h"
#include "methods/shared/folded_input.h"
#include "methods/shared/outer_objective.h"
#include "signals/signal_network.h"

namespace mentor::methods {
namespace {

using torch::Tensor;

// An update with everything that it and its signals depend on.
struct Lesson {
  agents::UpdateInputs inputs;
  agents::Segment seen;        // What the network saw,
  signals::SignalState state;  // the network's state before it,
  Tensor weights;              // [Q]: and the network's weights.
};

class MetaGradient : public InnerLoop {
 public:
  explicit MetaGradient(const InnerLoopContext& context)
      : InnerLoop(context),
        config_(ReadMetaGradient(context_.options, spec().agent())),
        gradient_(*context_.network->gradient()),
        is_reward_(spec().signal().role() == v1::REWARD),
        inside_((is_reward_ && !config_.separate_critic) || config_.value_error()),
        sight_(Sight()),
        shape_(WithInput(Shape(inside_), sight_.policy ? sight_.discounts.embedding : 0)),
        weights_(context_.meta_parameters),
        normaliser_(NormaliserOf(context_)),
        network_sight_(context_) {}

  void Begin() override {
    agents::AgentShape whole = shape_;
    whole.critic = true;
    const Tensor theta = FreshAgents(context_, whole).theta;
    const int64_t policy = theta.size(1) - CriticSize(shape_);
    agents_ = agents::NewAgents(inside_ ? theta : theta.narrow(1, 0, policy).clone());
    const Tensor critic = FreshCritics();
    extrinsic_critic_ = agents::NewAgents(critic);
    if (!inside_) critic_ = agents::NewAgents(critic.clone());
    signal_ = gradient_.InitialState(context_.num_agents(), torch::kFloat32);
  }

  absl::StatusOr<agents::Segment> Iterate(uint32_t iteration, const Collect& collect,
                                          LoopReport* report) override {
    MENTOR_ASSIGN_OR_RETURN(agents::Segment collected, collect(Policies()));
    const CpuTimer timer;
    const bool teaches = context_.shard->outer_learning();

    // `seen` is the segment with the critic's values, as the network sees it; `normal`, as agents
    // see it; `outer_seen` has the values of the outer objective's critic.
    agents::Segment seen = network_sight_.Show(collected);
    const agents::Segment normal = normaliser_.Normalise(collected);
    seen.shaped_rewards = seen.shaped_rewards * config_.reward_scale;
    agents::Segment outer_seen = seen;
    AddValues([&](const Tensor& x) { return Values(x); }, normal, &seen);
    AddValues([&](const Tensor& x) { return OuterValues(x); }, normal, &outer_seen);
    const Tensor extrinsic = config_.success
                                 ? seen.success_signals.to(torch::kFloat64) * config_.reward_scale
                                 : seen.shaped_rewards;
    const agents::Advantages outer =
        AdvantagesOf(extrinsic, outer_seen, config_.gamma_out, config_.lambda_out);
    const Tensor observations = AsPolicySees(normal.observations);
    const OuterRows rows{observations, normal.actions, normal.log_probs, ToFloat(outer.advantages),
                         config_.value_error() ? ToFloat(outer.returns) : Tensor()};

    Lesson lesson{.inputs = {}, .seen = seen, .state = signal_, .weights = weights_};
    const CpuTimer signal_timer;
    const Tensor signals = gradient_.Signals(weights_, seen, &signal_).detach();
    report->signal_seconds += signal_timer.Seconds();
    const agents::Advantages mixed =
        is_reward_ ? AdvantagesOf(config_.c_ex * extrinsic.cpu() +
                                      config_.c_in * signals.to(torch::kFloat64).cpu(),
                                  seen, spec().agent().gamma(), spec().agent().gae_lambda())
                   : agents::Advantages{signals, signals + seen.values};
    const agents::UpdateConfig config = Config(iteration);
    lesson.inputs = {.agents = agents_,
                     .observations = observations,
                     .actions = normal.actions,
                     .log_probs = normal.log_probs,
                     .values = inside_ ? seen.values : Tensor(),
                     .advantages = ToFloat(mixed.advantages),
                     .minibatches = {}};
    MENTOR_ASSIGN_OR_RETURN(lesson.inputs.minibatches, Minibatches(iteration, config.ppo));
    if (teaches && config_.fresh && iteration > 0) {
      MENTOR_ASSIGN_OR_RETURN(const Tensor target, Target(config, lesson.inputs, rows));
      MENTOR_RETURN_IF_ERROR(TeachOnFreshData(iteration, rows, target, report));
    }
    // With frozen meta-parameters the last iteration only collects, as in every loop.
    if (teaches || iteration + 1 < spec().lifetime().iterations()) {
      agents::UpdateOutputs after;
      if (teaches && !config_.fresh) {
        MENTOR_ASSIGN_OR_RETURN(const Tensor target,
                                TargetOnSameData(iteration, config, lesson.inputs, rows));
        MENTOR_RETURN_IF_ERROR(Teach(config, lesson, rows, target, report, &after));
      } else {
        MENTOR_RETURN_IF_ERROR(Update(config, lesson.inputs, &after));
      }
      Adopt(after, report);
      MENTOR_RETURN_IF_ERROR(FitCritics(iteration, normal.observations, ToFloat(outer.returns),
                                        ToFloat(mixed.returns)));
    }
    lesson_ = std::move(lesson);
    normaliser_.Add(collected.observations);

    collected.observations = seen.observations;
    collected.next_observations = seen.next_observations;
    collected.signals = signals.cpu();
    ReportSegment(collected, report);
    report->update_seconds += timer.Seconds() - report->signal_seconds;
    return collected;
  }

  std::vector<v1::PolicyWeights> Policies() const override {
    const agents::AgentShape shape = Shape(inside_);
    const Tensor theta =
        sight_.policy ? FoldInput(shape, agents_.theta, Embedding()) : agents_.theta;
    return agents::ToPolicyWeights(shape, normaliser_.Fold(shape, theta));
  }

  void State(StateFields* fields) override {
    AddAgents("agents", &agents_, fields);
    AddNormaliser(&normaliser_, fields);
    const auto add = [&](const std::string& name, Tensor* tensor) {
      if (tensor->defined()) fields->Add(name, tensor);
    };
    AddAgents("extrinsic_critic", &extrinsic_critic_, fields);
    AddAgents("critic", &critic_, fields);
    AddSignalState("signal", &signal_, fields);
    network_sight_.AddTo(fields);
    if (!KeepsLesson()) return;
    agents::UpdateInputs& inputs = lesson_.inputs;
    AddAgents("lesson.agents", &inputs.agents, fields);
    add("lesson.observations", &inputs.observations);
    add("lesson.advantages", &inputs.advantages);
    for (const agents::SegmentField& field : agents::SegmentFields()) {
      if (field.seen >= 0)  // Missing tensors are left out.
        add(absl::StrCat("lesson.seen.", field.seen), &(lesson_.seen.*field.member));
    }
    add("lesson.actions", &inputs.actions);
    add("lesson.log_probs", &inputs.log_probs);
    add("lesson.values", &inputs.values);
    AddSignalState("lesson.signal", &lesson_.state, fields);
    add("lesson.weights", &lesson_.weights);
  }

 private:
  void PrepareLoad() override {
    Begin();
    if (KeepsLesson()) lesson_ = EmptyLesson();
  }

  // Without an embedding where the network has no gamma and lambda, or no weights yet.
  signals::DiscountSight Sight() const {
    const Tensor& weights = context_.meta_parameters;
    return weights.defined() ? gradient_.SightOf(weights) : signals::DiscountSight();
  }

  // The input of the outer objective's critic.
  signals::DiscountInput OuterDiscounts() const {
    return {.embedding = sight_.discounts.embedding,
            .gamma = config_.gamma_out,
            .lambda = config_.lambda_out};
  }

  // [S, CriticSize]: initial weights as in new agents; an embedding gets normals / sqrt(2).
  Tensor FreshCritics() const {
    const int64_t embedding = sight_.discounts.embedding, agents = context_.num_agents();
    const agents::AgentShape whole = WithInput(Shape(/*critic=*/true), embedding);
    const Tensor theta = FreshAgents(context_, whole).theta;
    const int64_t value = CriticSize(whole);
    const Tensor critic = theta.narrow(1, theta.size(1) - value, value).clone();
    if (embedding == 0) return critic;
    const auto tensor = static_cast<uint32_t>(agents::AgentLayout(whole).slices().size());
    std::vector<Tensor> embed;
    for (int64_t s = 0; s < agents; ++s) {
      embed.push_back(agents::Normals(context_.Random(Purpose::kAgentWeights, s, /*iteration=*/0),
                                      tensor, {2 * embedding}));
    }
    return torch::cat({ToFloat(torch::stack(embed) / std::sqrt(2.0)), critic}, 1);
  }

  // [S, E]: the numbers behind the observation that policies see, constant in every derivative.
  Tensor Embedding() const {
    return EmbedDiscounts(Shape(/*critic=*/true), critic_.theta, sight_.discounts);
  }
  Tensor AsPolicySees(const Tensor& observations) const {
    if (!sight_.policy) return observations;
    return torch::cat(
        {observations, Embedding().unsqueeze(1).expand({-1, observations.size(1), -1})}, 2);
  }

  agents::AgentShape Shape(bool critic) const {
    agents::AgentShape shape = ShapeOfAgents(*context_.shard);
    shape.critic = critic;
    return shape;
  }

  Tensor ToFloat(const Tensor& x) const { return x.to(torch::kFloat32); }

  agents::UpdateConfig Config(uint32_t iteration) const {
    agents::UpdateConfig config = config_.update;
    config.ppo =
        agents::PpoConfigFromSpec(spec().agent(), iteration + 1, spec().lifetime().iterations());
    return config;
  }

  // Values [S, N] of the mixed reward, by the weights that collected the segment.
  Tensor Values(const Tensor& observations) const {
    const agents::AgentShape whole = Shape(/*critic=*/true);
    if (!inside_) return CriticValues(whole, critic_.theta, observations, sight_.discounts);
    const int64_t value = CriticSize(whole);
    return CriticValues(whole, agents_.theta.narrow(1, agents_.theta.size(1) - value, value),
                        observations);
  }

  // Values [S, N] of the task's own reward.
  Tensor OuterValues(const Tensor& observations) const {
    return CriticValues(Shape(/*critic=*/true), extrinsic_critic_.theta, observations,
                        OuterDiscounts());
  }

  // Moves the critics that are not part of theta.
  absl::Status FitCritics(uint32_t iteration, const Tensor& observations,
                          const Tensor& outer_returns, const Tensor& returns) {
    MENTOR_ASSIGN_OR_RETURN(const std::vector<Tensor> minibatches,
                            Minibatches(iteration, config_.critic, spec().agent().epochs()));
    const auto fit = [&](const Tensor& targets, const signals::DiscountInput& discounts,
                         agents::AgentBatch* critic) -> absl::Status {
      MENTOR_ASSIGN_OR_RETURN(*critic, FitCritic(Shape(/*critic=*/true), config_.critic, *critic,
                                                 observations, targets, minibatches, discounts));
      return absl::OkStatus();
    };
    MENTOR_RETURN_IF_ERROR(fit(outer_returns, OuterDiscounts(), &extrinsic_critic_));
    return inside_ ? absl::OkStatus() : fit(returns, sight_.discounts, &critic_);
  }

  // Permutations first_epoch, first_epoch + 1, ... of an iteration.
  absl::StatusOr<std::vector<Tensor>> Minibatches(uint32_t iteration,
                                                  const agents::PpoConfig& config,
                                                  int64_t first_epoch = 0) const {
    return context_.Minibatches(iteration, config.epochs, config.minibatches, first_epoch);
  }

  // Parts [count, ...] of groups as one tensor.
  static Tensor Joined(const std::vector<Tensor>& parts) { return torch::cat(parts, 0); }
  template <typename T>
  static Tensor Joined(const std::vector<T>& parts, const std::function<Tensor(const T&)>& of) {
    std::vector<Tensor> tensors;
    for (const T& part : parts) tensors.push_back(of(part));
    return Joined(tensors);
  }
  static agents::UpdateOutputs Joined(const std::vector<agents::UpdateOutputs>& parts) {
    std::vector<agents::AgentBatch> agents;
    for (const agents::UpdateOutputs& part : parts) agents.push_back(part.agents);
    const auto trace = [&](Tensor agents::UpdateTrace::*member) {
      return Joined<agents::UpdateOutputs>(parts, [&](const auto& x) { return x.trace.*member; });
    };
    return {agents::JoinAgents(agents),
            {trace(&agents::UpdateTrace::loss), trace(&agents::UpdateTrace::policy_loss),
             trace(&agents::UpdateTrace::value_loss), trace(&agents::UpdateTrace::entropy),
             trace(&agents::UpdateTrace::approx_kl), trace(&agents::UpdateTrace::clip_fraction),
             trace(&agents::UpdateTrace::grad_norm)}};
  }

  absl::Status Update(const agents::UpdateConfig& config, const agents::UpdateInputs& inputs,
                      agents::UpdateOutputs* after) const {
    MENTOR_ASSIGN_OR_RETURN(
        const auto parts,
        ForGroups<agents::UpdateOutputs>(context_, [&](int64_t first, int64_t count) {
          return agents::RunUpdate(shape_, config, inputs.Agents(first, count));
        }));
    *after = Joined(parts);
    return absl::OkStatus();
  }

  // The target [S, P] of agents that go on with the minibatches of `next`; undefined without
  // bootstrap_steps.
  absl::StatusOr<Tensor> Target(const agents::UpdateConfig& config,
                                const agents::UpdateInputs& next, const OuterRows& rows) const {
    if (config_.bootstrap_steps == 0) return Tensor();
    const agents::ParamLayout layout = agents::AgentLayout(shape_);
    const auto of_group = [&](int64_t first, int64_t count) {
      const OuterRows own = rows.Agents(first, count);
      agents::UpdateInputs further = next.Agents(first, count);
      further.minibatches.resize(config_.bootstrap_steps - 1);
      return BootstrapTarget(shape_, config, further, [&](const Tensor& theta) {
        return OuterLoss(layout, theta, own, config_.outer);
      });
    };
    MENTOR_ASSIGN_OR_RETURN(const auto parts, ForGroups<Tensor>(context_, of_group));
    return Joined(parts);
  }

  // The same of the agents after this update, on its segment once more.
  absl::StatusOr<Tensor> TargetOnSameData(uint32_t iteration, const agents::UpdateConfig& config,
                                          agents::UpdateInputs inputs,
                                          const OuterRows& rows) const {
    if (config_.bootstrap_steps == 0) return Tensor();
    agents::UpdateOutputs after;
    MENTOR_RETURN_IF_ERROR(Update(config, inputs, &after));
    inputs.agents = after.agents;
    // Permutations that neither the update nor the critics have.
    MENTOR_ASSIGN_OR_RETURN(
        inputs.minibatches,
        Minibatches(iteration, config.ppo, config.ppo.epochs + config_.critic.epochs));
    return Target(config, inputs, rows);
  }

  // The outer gradient of a lesson's update: of J, or with a target of the matching loss. Also
  // gives the update in *after unless that is null.
  absl::Status Teach(const agents::UpdateConfig& config, const Lesson& lesson,
                     const OuterRows& rows, const Tensor& target, LoopReport* report,
                     agents::UpdateOutputs* after) const {
    const agents::ParamLayout layout = agents::AgentLayout(shape_);
    struct Part {
      agents::UpdateGradient update;
      OuterStatistics outer;
      Tensor weights;  // [Q] float64
    };
    const auto of_group = [&](int64_t first, int64_t count) -> absl::StatusOr<Part> {
      Part part;
      const OuterRows own = rows.Agents(first, count);
      MENTOR_ASSIGN_OR_RETURN(part.update,
                              agents::DifferentiateUpdate(
                                  shape_, config, lesson.inputs.Agents(first, count),
                                  [&](const Tensor& theta) {
                                    const Tensor loss =
                                        OuterLoss(layout, theta, own, config_.outer, &part.outer);
                                    if (!target.defined()) return loss;
                                    return MatchingLoss(layout, target.narrow(0, first, count),
                                                        theta, own.observations);
                                  },
                                  config_.implementation));
      part.weights =
          WeightsGradient(lesson, first, count, part.update).to(torch::kCPU, torch::kFloat64);
      return part;
    };
    MENTOR_ASSIGN_OR_RETURN(const auto parts, ForGroups<Part>(context_, of_group));
    Tensor gradient = torch::zeros({weights_.numel()}, torch::kFloat64);
    for (const Part& part : parts) gradient += part.weights;
    report->outer_gradient =
        report->outer_gradient.defined() ? report->outer_gradient + gradient : gradient;
    const auto statistic = [&](const char* name, const std::function<Tensor(const Part&)>& of) {
      report->statistics[name] = Joined<Part>(parts, of).to(torch::kFloat64).mean().item<double>();
    };
    statistic("outer_loss", [](const Part& part) { return part.update.outer_loss; });
    statistic("outer_clip_fraction", [](const Part& part) { return part.outer.clip_fraction; });
    statistic("outer_advantage_std", [](const Part& part) { return part.outer.advantage_std; });
    statistic("outer_advantage_floored",
              [](const Part& part) { return part.outer.advantage_floored; });
    statistic("outer_theta_norm",
              [](const Part& part) { return part.update.outer_theta.norm(2, 1); });
    if (after != nullptr) {
      std::vector<agents::UpdateOutputs> outputs;
      for (const Part& part : parts) outputs.push_back(part.update.after);
      *after = Joined(outputs);
    }
    return absl::OkStatus();
  }

  // The outer gradient of the last lesson, on the segment that it led to.
  absl::Status TeachOnFreshData(uint32_t iteration, const OuterRows& rows, const Tensor& target,
                                LoopReport* report) {
    const agents::UpdateConfig config = Config(iteration - 1);
    MENTOR_ASSIGN_OR_RETURN(lesson_.inputs.minibatches, Minibatches(iteration - 1, config.ppo));
    return Teach(config, lesson_, rows, target, report, /*after=*/nullptr);
  }

  // Takes the gradient of a group's advantages on to the signal's weights. Agents with numbers that
  // are not finite are left out.
  Tensor WeightsGradient(const Lesson& lesson, int64_t first, int64_t count,
                         const agents::UpdateGradient& update) const {
    const Tensor finite = agents::IsFinite(update.after.agents)
                              .logical_and(update.advantages.isfinite().all(1))
                              .logical_and(update.outer_loss.isfinite());
    Tensor grad =
        torch::where(finite.unsqueeze(1), update.advantages, torch::zeros_like(update.advantages));
    const agents::Segment seen = agents::SomeLifetimes(lesson.seen, first, count);
    if (is_reward_) {
      const v1::AgentSpec& agent = spec().agent();
      grad = config_.c_in *
             ToFloat(agents::GaeAdjoint(grad, seen.prev_done, agent.gamma(), agent.gae_lambda()));
    }
    const at::AutoGradMode gradients(true);
    const Tensor weights = lesson.weights.detach().requires_grad_(true);
    signals::SignalState state = signals::SomeLifetimes(lesson.state, first, count);
    const Tensor signals = gradient_.Signals(weights, seen, &state);
    return torch::autograd::grad({(signals * grad).sum()}, {weights})[0];
  }

  // Agents whose update is not finite stay as they were.
  void Adopt(const agents::UpdateOutputs& after, LoopReport* report) {
    const Tensor finite = agents::IsFinite(after.agents);
    agents_ = agents::ChooseAgents(finite, after.agents, agents_);
    report->nonfinite_updates += finite.logical_not().sum().item<int64_t>();
    const auto statistic = [&](const char* name, const Tensor& x) {
      report->statistics[name] = x.to(torch::kFloat64).mean().item<double>();
    };
    statistic("inner_kl", after.trace.approx_kl.select(1, -1));
    statistic("inner_clip_fraction", after.trace.clip_fraction.select(1, -1));
    statistic("entropy", after.trace.entropy.select(1, 0));
    statistic("inner_grad_norm", after.trace.grad_norm);
    statistic("value_loss", after.trace.value_loss.select(1, 0));
  }

  bool KeepsLesson() const { return config_.fresh && context_.shard->outer_learning(); }

  // Tensors of the right shapes, to be filled.
  Lesson EmptyLesson() const {
    const int64_t s = context_.num_agents(), t = context_.steps(),
                  d = context_.shape().observation_size();
    const auto floats = torch::TensorOptions(torch::kFloat32);
    const bool bootstraps = spec().agent().bootstrap_on_truncation();
    Lesson lesson;
    lesson.seen = agents::ZeroSegment(
        {.agents = s, .steps = t, .observation = d, .action = shape_.action_size}, floats,
        [&](const agents::SegmentField& field) {
          return field.seen >= 0 && (!field.with_truncations || bootstraps);
        });
    const agents::Segment& seen = lesson.seen;
    lesson.inputs = {.agents = agents::NewAgents(torch::zeros_like(agents_.theta)),
                     .observations = torch::zeros({s, t, shape_.observation_size}),
                     .actions = seen.actions.clone(),
                     .log_probs = seen.log_probs.clone(),
                     .values = inside_ ? seen.values.clone() : Tensor(),
                     .advantages = seen.values.clone(),
                     .minibatches = {}};
    lesson.state = gradient_.InitialState(s, torch::kFloat32);
    lesson.weights = torch::zeros_like(weights_);
    return lesson;
  }

  const MetaGradientConfig config_;
  const signals::SignalGradient& gradient_;  // The context keeps it.
  const bool is_reward_;
  const bool inside_;  // The critic of the mixed reward is part of theta, and of U.
  const signals::DiscountSight sight_;
  const agents::AgentShape shape_;  // The networks in theta.
  const Tensor weights_;
  agents::ObservationNormaliser normaliser_;
  NetworkSight network_sight_;
  agents::AgentBatch agents_;
  agents::AgentBatch extrinsic_critic_;  // psi
  agents::AgentBatch critic_;            // For the mixed reward, unless inside_.
  signals::SignalState signal_;
  Lesson lesson_;  // The last lesson; state with outer data `fresh` only.
};

}  // namespace

std::unique_ptr<InnerLoop> MakeMetaGradient(const InnerLoopContext& context) {
  return std::make_unique<MetaGradient>(context);
}

}  // namespace mentor::methods
