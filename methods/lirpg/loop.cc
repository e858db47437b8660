// Agents of LIRPG as its authors released it (README.md). In each minibatch the agents take a step
// on c_ex r_ex + c_in r_in; then the reward network takes one along the gradient of what that step
// did for the task. The learner makes all steps of an inner iteration and reports how far the
// network moved.
#include "methods/lirpg/loop.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include <absl/strings/str_format.h>

#include "agents/adam.h"
#include "agents/gae.h"
#include "agents/kernel_steps.h"
#include "agents/policy.h"
#include "methods/base/inner_loop.h"
#include "methods/base/loop_parts.h"
#include "methods/lirpg/kernels.h"
#include "methods/shared/critic.h"

namespace mentor::methods {

namespace {

// The release's: a count at birth, what is added to the variance, and the bound of a scaled reward.
constexpr double kFirstCount = 1e-4, kVarianceFloor = 1e-8, kScaledMax = 10;
enum : int64_t { kSum, kMean, kVariance, kCount, kWaiting, kWaited, kNumbers };

}  // namespace

EarnedReward::EarnedReward(const TaskRewardConfig& config, int64_t num_agents)
    : config_(config), state_(torch::zeros({num_agents, kNumbers}, torch::kFloat64)) {
  state_.select(1, kVariance).fill_(1);
  state_.select(1, kCount).fill_(kFirstCount);
}

torch::Tensor EarnedReward::Earn(const torch::Tensor& rewards, const torch::Tensor& ended) {
  const torch::Tensor raw = rewards.to(torch::kCPU, torch::kFloat64).contiguous();
  const torch::Tensor ends = ended.to(torch::kCPU, torch::kFloat64).contiguous();
  torch::Tensor earned = torch::zeros_like(raw);
  state_ = state_.clone();
  const int64_t steps = raw.size(1);
  for (int64_t s = 0; s < raw.size(0); ++s) {
    const double* reward = raw.const_data_ptr<double>() + s * steps;
    const double* end = ends.const_data_ptr<double>() + s * steps;
    double* to = earned.mutable_data_ptr<double>() + s * steps;
    double* x = state_.mutable_data_ptr<double>() + s * kNumbers;
    for (int64_t t = 0; t < steps; ++t) {
      double paid = reward[t];
      if (config_.scaled) {
        // The sum goes on over the ends of episodes, as released.
        x[kSum] = config_.gamma * x[kSum] + reward[t];
        const double difference = x[kSum] - x[kMean], count = x[kCount] + 1;
        x[kVariance] =
            (x[kVariance] * x[kCount] + difference * difference * x[kCount] / count) / count;
        x[kMean] += difference / count;
        x[kCount] = count;
        paid = std::clamp(reward[t] / std::sqrt(x[kVariance] + kVarianceFloor), -kScaledMax,
                          kScaledMax);
      }
      x[kWaiting] += paid;
      x[kWaited] += 1;
      if (end[t] == 0 && x[kWaited] < static_cast<double>(config_.every)) continue;
      to[t] = x[kWaiting];
      x[kWaiting] = x[kWaited] = 0;
    }
  }
  return earned;
}
namespace lirpg_loop {

using torch::Tensor;

// Bound of normalised observations that the reward network sees, as released.
constexpr double kSeenMax = 10;

const auto kOptions = Bind<LirpgSettings>(
    {{&LirpgSettings::success,
      "extrinsic",
      {{"shaped", false}, {"success", true}},
      "The task's own reward r_ex: the environment's, or the sparse success signal."},
     {&LirpgSettings::c_ex, "c_ex", "0", 0, 1e30,
      "Weight of r_ex in the agents' reward; released: 0 and 0.01."},
     {&LirpgSettings::c_in, "c_in", "1", 0, 1000,
      "Weight of the learned reward in the agents' reward; 0: PPO, and nothing is learned beside "
      "the agents."},
     {In(&LirpgSettings::reward, &TaskRewardConfig::scaled), "scale_rewards", true,
      "r_ex is divided by the running deviation of its discounted sum, and bounded by 10."},
     {In(&LirpgSettings::reward, &TaskRewardConfig::every), "reward_every", "1", 1, 1000000,
      "Steps whose r_ex is summed and paid with the last of them; released: 20. What is reported "
      "is "
      "not delayed."},
     {In(&LirpgSettings::outer, &agents::PpoConfig::learning_rate), "learning_rate", "1e-4", 0, 10,
      "Adam's, of the reward network and the task's critic; 0: nothing is learned beside the "
      "agents."},
     {In(&LirpgSettings::outer, &agents::PpoConfig::max_grad_norm), "max_grad_norm", "0.5", 1e-30,
      1e30, "Greatest norm of the gradient of both together."},
     {&LirpgSettings::tensorflow,
      "forms",
      {{"torch", false}, {"tensorflow", true}},
      "Adam's epsilon, clipping by norm and standard deviations as in the other rules, or as "
      "released: epsilon before the correction of bias, no 1e-6 beside the norm, B rows in a "
      "deviation."}});

class Lirpg : public LearningLoop {
 public:
  explicit Lirpg(const InnerLoopContext& context)
      : LearningLoop(context, ShapeOfAgents(*context.shard)),
        settings_(ReadLirpg(spec().agent(), context_.options)),
        network_(*context_.network->gradient()),
        earned_(settings_.reward, context_.num_agents()) {}

  void Begin() override {
    LearningLoop::Begin();
    const int64_t critic = CriticSize(shape_), size = agents_.theta.size(1);
    // The task's critics begin as the agents' own.
    critics_ = agents::NewAgents(agents_.theta.narrow(1, size - critic, critic).clone());
    outer_ = agents::NewAgents(context_.meta_parameters.unsqueeze(0));
    signal_ = network_.InitialState(context_.num_agents(), torch::kFloat32);
  }

  absl::StatusOr<agents::Segment> Iterate(uint32_t iteration, const Collect& collect,
                                          LoopReport* report) override {
    MENTOR_ASSIGN_OR_RETURN(agents::Segment collected, collect(Policies()));
    const CpuTimer timer;
    const LirpgConfig config = Config(iteration);
    const LirpgSegment segment = See(collected);
    // What the reward network sees, and how it began to see it.
    const agents::Segment shown = Shown(collected, segment, report);
    const signals::SignalState before = signal_;
    collected.signals = network_.Signals(outer_.theta[0], shown, &signal_).detach();
    report->signal_seconds += timer.Seconds();

    // With frozen meta-parameters the last iteration only collects, as in every loop.
    const bool teaches = context_.shard->outer_learning();
    if (teaches || iteration + 1 < spec().lifetime().iterations()) {
      MENTOR_ASSIGN_OR_RETURN(
          const std::vector<Tensor> minibatches,
          context_.Minibatches(iteration, config.update.ppo.epochs, config.update.ppo.minibatches));
      MENTOR_RETURN_IF_ERROR(teaches && settings_.teaches()
                                 ? Teach(config, segment, shown, before, minibatches, report)
                                 : Learn(config, segment, collected.signals, minibatches, report));
    }
    normaliser_.Add(collected.observations);
    ReportSegment(collected, report);
    report->update_seconds += timer.Seconds() - report->signal_seconds;
    return collected;
  }

  void State(StateFields* fields) override {
    LearningLoop::State(fields);
    AddAgents("critics", &critics_, fields);
    // The meta-learner's weights are these: it adds what this loop reports.
    AddAgents("outer", &outer_, fields);
    AddSignalState("signal", &signal_, fields);
    fields->Add("earned_reward", earned_.mutable_state());
  }

 private:
  LirpgConfig Config(uint32_t iteration) const {
    LirpgConfig config;
    agents::PpoConfig& ppo = config.update.ppo;
    ppo = agents::PpoConfigFromSpec(spec().agent(), iteration + 1, spec().lifetime().iterations());
    config.update.tensorflow_clip = config.update.tensorflow_epsilon = settings_.tensorflow;
    config.update.advantage_ddof = config.outer.advantage_ddof = settings_.tensorflow ? 0 : 1;
    config.outer.clip = ppo.clip;
    config.c_in = settings_.c_in;
    config.value_clip = ppo.clip_value_loss ? ppo.clip : 0;
    config.value_coef = ppo.value_coef;
    return config;
  }

  // The segment as the agents saw it, with what they earned and its values.
  LirpgSegment See(const agents::Segment& collected) {
    const agents::Segment normal = normaliser_.Normalise(collected);
    const Tensor next = normal.next_observations.unsqueeze(1);
    const int64_t critic = CriticSize(shape_);
    const Tensor own = agents_.theta.narrow(1, agents_.theta.size(1) - critic, critic);
    const Tensor task =
        earned_.Earn(settings_.success ? collected.success_signals : collected.shaped_rewards,
                     agents::Ends(collected));

    LirpgSegment segment;
    segment.inputs.observations = normal.observations;
    segment.inputs.actions = normal.actions;
    segment.inputs.log_probs = normal.log_probs;
    segment.inputs.values = CriticValues(shape_, own, normal.observations);
    segment.task_rewards = settings_.c_ex * task;
    segment.prev_done = collected.prev_done;
    segment.last_done = collected.last_done;
    segment.last_values = CriticValues(shape_, own, next).squeeze(1);
    segment.task_values = CriticValues(shape_, critics_.theta, normal.observations);
    segment.task_advantages =
        agents::Gae(task, segment.task_values, collected.prev_done, collected.last_done,
                    CriticValues(shape_, critics_.theta, next).squeeze(1), spec().agent().gamma(),
                    spec().agent().gae_lambda())
            .advantages.to(torch::kFloat32);
    return segment;
  }

  // The reward network sees the agents' observations within bounds, once these are normalised.
  agents::Segment Shown(const agents::Segment& collected, const LirpgSegment& segment,
                        LoopReport* report) const {
    agents::Segment shown = collected;
    shown.observations = segment.inputs.observations;
    if (!spec().agent().normalize_observations()) return shown;
    shown.observations = shown.observations.clamp(-kSeenMax, kSeenMax);
    report->statistics["inputs_bounded"] = (shown.observations != segment.inputs.observations)
                                               .to(torch::kFloat64)
                                               .mean()
                                               .item<double>();
    return shown;
  }

  // Steps of agents and of the reward network in turn. `seen` and `state`: what the network sees.
  absl::Status Teach(const LirpgConfig& config, const LirpgSegment& segment,
                     const agents::Segment& seen, const signals::SignalState& state,
                     const std::vector<Tensor>& minibatches, LoopReport* report) {
    const std::unique_ptr<LirpgKernels> kernels =
        Kernels(config, segment, seen, state, minibatches);
    const LearnedRewards rewards = [&](const Tensor& weights) {
      signals::SignalState own = state;
      return network_.Signals(weights, seen, &own);
    };
    const Tensor before = outer_.theta[0].to(torch::kFloat64);
    double outer_loss = 0, clipped = 0, norm = 0;
    LirpgGradient step;
    for (const Tensor& rows : minibatches) {
      if (kernels != nullptr) {
        MENTOR_ASSIGN_OR_RETURN(step,
                                kernels->Step(agents_, outer_.theta[0], critics_.theta, rows));
      } else {
        MENTOR_ASSIGN_OR_RETURN(step, LirpgStep(shape_, config, segment, agents_, rewards,
                                                outer_.theta[0], critics_.theta, rows));
      }
      agents_ = step.agents;
      report->nonfinite_updates += static_cast<uint64_t>(step.left_out);
      if (!StepTogether(settings_.outer, settings_.tensorflow, step, &outer_, &critics_))
        ++report->nonfinite_updates;
      outer_loss += step.outer_loss.mean().item<double>();
      clipped += step.outer.clip_fraction.mean().item<double>();
      norm += step.weights.norm().item<double>();
    }
    const auto count = static_cast<double>(minibatches.size());
    report->statistics["outer_loss"] = outer_loss / count;
    report->statistics["outer_clip_fraction"] = clipped / count;
    report->statistics["outer_step_grad_norm"] = norm / count;
    ReportTrace(step.trace, report);
    report->outer_gradient = outer_.theta[0].to(torch::kFloat64) - before;
    return absl::OkStatus();
  }

  // Null where LibTorch makes the steps. Only the spec decides that.
  std::unique_ptr<LirpgKernels> Kernels(const LirpgConfig& config, const LirpgSegment& segment,
                                        const agents::Segment& seen, signals::SignalState state,
                                        const std::vector<Tensor>& minibatches) const {
    const auto* layers = dynamic_cast<const signals::StepLayersSource*>(&network_);
    if (layers == nullptr || !HaveLirpgKernels(shape_, config)) return nullptr;
    return NewLirpgKernels(shape_, config, segment, layers->Layers(seen, &state),
                           outer_.theta.size(1), minibatches[0].size(1), context_.pool);
  }

  // Steps of the agents alone, on the rewards as they are.
  absl::Status Learn(const LirpgConfig& config, const LirpgSegment& segment, const Tensor& learned,
                     const std::vector<Tensor>& minibatches, LoopReport* report) {
    agents::UpdateInputs inputs = segment.inputs;
    inputs.agents = agents_;
    inputs.advantages = MixedAdvantages(config, segment, learned);
    inputs.minibatches = minibatches;
    agents::UpdateOutputs after;
    if (agents::HaveKernelSteps(shape_, config.update)) {
      MENTOR_ASSIGN_OR_RETURN(
          after, agents::RunUpdateByKernels(shape_, config.update, inputs, context_.pool));
    } else {
      MENTOR_ASSIGN_OR_RETURN(after, agents::RunUpdate(shape_, config.update, inputs));
    }
    // Agents whose update is not finite stay as they were, by the kernels anyway.
    const Tensor steps = agents_.adam_steps;
    agents_ = agents::ChooseAgents(agents::IsFinite(after.agents), after.agents, agents_);
    report->nonfinite_updates +=
        static_cast<uint64_t>(agents_.adam_steps.eq(steps).sum().item<int64_t>());
    ReportTrace(after.trace, report);
    return absl::OkStatus();
  }

  // Numbers of the last optimizer step.
  static void ReportTrace(const agents::UpdateTrace& trace, LoopReport* report) {
    const auto statistic = [&](const char* name, const Tensor& x) {
      report->statistics[name] = x.select(1, -1).to(torch::kFloat64).mean().item<double>();
    };
    statistic("inner_kl", trace.approx_kl);
    statistic("inner_clip_fraction", trace.clip_fraction);
    statistic("entropy", trace.entropy);
    statistic("value_loss", trace.value_loss);
  }

  // Fixed after construction.
  const LirpgSettings settings_;
  const signals::SignalGradient& network_;  // The context keeps it.
  // Between iterations. The agents have the critic of the mixed reward.
  EarnedReward earned_;
  agents::AgentBatch critics_;  // The task's critics [S, C].
  agents::AgentBatch outer_;    // phi as its only row, with Adam's state.
  signals::SignalState signal_;
};

MetricTable Metrics() {
  using Panel = MetricInfo::Panel;
  MetricTable metrics = {
      {.name = "outer_loss", .help = "Outer loss after a minibatch, mean over the minibatches."},
      {.name = "outer_clip_fraction",
       .help = "Share of a minibatch's steps whose ratio the outer loss clips."},
      {.name = "outer_step_grad_norm",
       .help = "Norm of the gradient by the reward network's weights, mean over the minibatches.",
       .log_scale = true},
      {.name = "inputs_bounded",
       .help = "Share of normalised observations beyond 10, which the reward network sees as 10."},
      {.name = "inner_kl",
       .unit = "nat",
       .help = "Divergence of an agent's policy from that before its update, in the last step."},
      {.name = "inner_clip_fraction",
       .help = "Share of steps whose ratio the agents' loss clips, in the last step."},
      {.name = "entropy",
       .unit = "nat",
       .help = "Entropy of the agents' policies, in the last step.",
       .label = "entropy of the agents",
       .panel = Panel::kOwn},
      {.name = "value_loss",
       .help = "Value loss of the agents, in the last step.",
       .label = "value loss of the agents",
       .panel = Panel::kOwn}};
  for (const MetricInfo& metric : SegmentMetrics()) metrics.push_back(metric);
  return metrics;
}

void Check(const InnerLoopContext& context, Violations* violations) {
  const v1::ExperimentSpec& spec = context.spec();
  const v1::AgentSpec& agent = spec.agent();
  if (context.network == nullptr) {
    violations->Add("signal", "is missing; the agents learn from a reward network: name 'mlp'");
    return;
  }
  if (context.network->gradient() == nullptr) {
    violations->Add("signal.name",
                    absl::StrFormat("%s has no gradient with respect to its weights, which the "
                                    "rule needs; use mlp",
                                    spec.signal().name()));
  }
  if (spec.signal().role() != v1::REWARD)
    violations->Add("signal.role", "is not REWARD; LIRPG learns a reward, so set REWARD");
  if (context.network->signals() != nullptr && context.network->signals()->sees_normalised())
    violations->Add("signal.option.normalize_observations",
                    "is true; the reward network of LIRPG sees what its agents see: leave it out, "
                    "and set agent.normalize_observations");
  if (agent.has_target_kl())
    violations->Add("agent.target_kl",
                    "an update that stops early cannot be differentiated; remove it");
  if (agent.bootstrap_on_truncation())
    violations->Add("agent.bootstrap_on_truncation",
                    "is true; LIRPG takes the limit of steps as an end, as released: leave it out");
  const auto fits =
      agents::CheckMinibatches(agent.minibatches(), agent.normalize_advantage(), context.steps());
  if (!fits.ok()) violations->Add("agent.minibatches", std::string(fits.message()));
  if (context.steps() / std::max<int64_t>(1, agent.minibatches()) < 2)
    violations->Add("agent.minibatches",
                    absl::StrFormat("is %d for %d steps; the outer objective is standardised over "
                                    "a minibatch, which needs at least 2 steps",
                                    agent.minibatches(), context.steps()));
  if (spec.rule().lifetimes_per_update() > spec.rule().shard_lifetimes())
    violations->Add(
        "rule.shard_lifetimes",
        absl::StrFormat("is %d for %d lifetimes: the learner makes the steps of the "
                        "reward network, and only for a single shard; set %d",
                        spec.rule().shard_lifetimes(), spec.rule().lifetimes_per_update(),
                        spec.rule().lifetimes_per_update()));
}

// Agents and critics with their optimizers, the graph of a minibatch twice differentiated, and that
// of the reward network along the segment.
LoopSizes Sizes(const InnerLoopContext& context, int64_t num_meta_parameters) {
  const v1::AgentSpec& agent = context.shard->spec().agent();
  const agents::AgentShape shape = ShapeOfAgents(*context.shard);
  const int64_t p = agents::AgentLayout(shape).size(), critic = CriticSize(shape);
  const int64_t agents = context.num_agents(), steps = context.steps();
  const int64_t rows = 2 * (steps / std::max<int64_t>(1, agent.minibatches()) + 1);
  const int64_t graph = GraphNumbersPerStep(shape);
  return {.state = 9 * (p + critic) + 6 * num_meta_parameters,
          .saved = 3 * (p + critic) + 3 * num_meta_parameters,
          .policy = p - critic,
          .at_once = agents * (steps * (2 * graph + 2 * int64_t{agent.epochs()} +
                                        4 * context.network->NumbersPerStep(/*graph=*/true)) +
                               4 * rows * graph + 10 * p),
          .per_thread = 4 * num_meta_parameters};
}

const RegisterInnerLoop kLirpg({
    .name = "lirpg",
    .summary = "Steps of agents and of their reward network in turn, minibatch by minibatch",
    .options = kOptions.table(),
    .metrics = Metrics(),
    .surrogate = true,
    .check = Check,
    .make = MadeLoop<Lirpg>,
    .sizes = Sizes,
    .gives_gradient =
        [](const InnerLoopContext& context) {
          return context.shard->outer_learning() &&
                 ReadLirpg(context.shard->spec().agent(), context.options).teaches();
        },
});

}  // namespace lirpg_loop

LirpgSettings ReadLirpg(const v1::AgentSpec& agent, const OptionValues& options) {
  LirpgSettings settings = lirpg_loop::kOptions.Read(options);
  settings.reward.gamma = agent.gamma();
  return settings;
}

}  // namespace mentor::methods
