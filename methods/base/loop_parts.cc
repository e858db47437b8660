#include "methods/base/loop_parts.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "agents/agent_trainer.h"
#include "agents/policy.h"
#include "agents/ppo.h"
#include "common/cpu_time.h"

namespace mentor::methods {
namespace {

// Bound of what a network sees of a normalised observation, and what is added to the mean square.
constexpr double kShownMax = 10, kSquareFloor = 1e-8;

double Now() {
  return ThreadCpuSeconds() + agents::WorkerPool::CallerCpuSeconds();
}

}  // namespace

CpuTimer::CpuTimer() : start_(Now()) {}
double CpuTimer::Seconds() const {
  return Now() - start_;
}

agents::AgentShape ShapeOfAgents(const v1::AgentSpec& spec,
                                 const v1::EnvironmentShape& environment) {
  return {.observation_size = environment.observation_size(),
          .action_size = environment.action_size(),
          .hidden_units = spec.hidden_units(),
          .critic = true,
          .discrete = environment.discrete_actions(),
          .output_gain = spec.output_gain()};
}

agents::AgentShape ShapeOfAgents(const v1::Shard& shard) {
  agents::AgentShape shape = ShapeOfAgents(shard.spec().agent(), shard.shape());
  shape.critic = shard.reward_source() != v1::REWARD_SOURCE_SIGNAL ||
                 shard.spec().signal().role() == v1::REWARD;
  return shape;
}

agents::AgentShape ShapeWithCritic(const InnerLoopContext& context) {
  return ShapeOfAgents(context.spec().agent(), context.shape());
}

std::vector<std::string> UnreadWithoutCritic(const InnerLoopContext& context) {
  if (ShapeOfAgents(*context.shard).critic) return {};
  return {"gamma", "gae_lambda", "value_coef", "clip_value_loss", "bootstrap_on_truncation"};
}

agents::AgentBatch FreshAgents(const InnerLoopContext& context, const agents::AgentShape& shape) {
  const v1::ExperimentSpec& spec = context.shard->spec();
  return agents::NewAgents(agents::InitialTheta(shape, spec.agent().initial_std(), spec.seed(),
                                                static_cast<Phase>(context.shard->phase()),
                                                context.noise_numbers()));
}

agents::ObservationNormaliser NormaliserOf(const InnerLoopContext& context) {
  return {context.shard->spec().agent().normalize_observations(), context.num_agents(),
          context.shard->shape().observation_size()};
}

NetworkSight::NetworkSight(const InnerLoopContext& context)
    : enabled_(context.network != nullptr && context.network->signals() != nullptr &&
               context.network->signals()->sees_normalised()),
      size_(context.shard->shape().observation_size()),
      lived_(enabled_, context.num_agents(), size_) {}

agents::Segment NetworkSight::Show(const agents::Segment& segment) {
  if (!enabled_) return segment;
  lived_.Add(segment.observations);
  const torch::Tensor& state = lived_.state();  // Count, means, sums of squared differences.
  const torch::Tensor square = state.narrow(1, 1 + size_, size_) / state.narrow(1, 0, 1) +
                               state.narrow(1, 1, size_).square();
  const torch::Tensor scale = (square + kSquareFloor).sqrt().to(segment.observations.scalar_type());
  agents::Segment shown = segment;
  shown.observations = (segment.observations / scale.unsqueeze(1)).clamp(-kShownMax, kShownMax);
  shown.next_observations = (segment.next_observations / scale).clamp(-kShownMax, kShownMax);
  return shown;
}

void NetworkSight::AddTo(StateFields* fields) {
  if (enabled_) fields->Add("signal.observations", lived_.mutable_state());
}

int64_t NetworkSight::NumbersPerStep() const {
  // What is shown, and double copies on the way.
  return enabled_ ? 8 * size_ : 0;
}

torch::Tensor BaselineRewards(const agents::Segment& segment, v1::RewardSource source) {
  switch (source) {
    case v1::REWARD_SOURCE_SPARSE:
      return signals::TaskReward(segment, v1::SUCCESS);
    case v1::REWARD_SOURCE_SPARSE_AND_SHAPED:
      return signals::TaskReward(segment, v1::SUCCESS_AND_SHAPED);
    default:
      return signals::TaskReward(segment, v1::SHAPED);
  }
}

torch::Tensor PotentialRewards(const agents::Segment& segment, double gamma,
                               torch::Tensor* potential) {
  const torch::Tensor reached = segment.shaped_rewards.to(torch::kFloat64);
  const torch::Tensor begins = segment.prev_done.to(torch::kFloat64);
  const int64_t last = reached.size(1) - 1;
  const torch::Tensor before =
      torch::cat({potential->unsqueeze(1), reached.narrow(1, 0, last)}, 1) * (1 - begins);
  torch::Tensor ends = agents::Ends(segment).to(torch::kFloat64);
  // Where the critic bootstraps, its value lacks the potential of that state (Ng et al., theorem
  // 1).
  if (segment.truncated.defined()) ends = ends * (1 - segment.truncated.to(torch::kFloat64));
  *potential = reached.select(1, last).clone();
  return segment.success_signals.to(torch::kFloat64) + gamma * (1 - ends) * reached - before;
}

torch::Tensor SignalNoise(const InnerLoopContext& context, uint32_t iteration) {
  const int64_t agents = context.num_agents(), steps = context.steps();
  torch::Tensor noise = torch::empty({agents, steps});
  auto values = noise.accessor<float, 2>();
  for (int64_t s = 0; s < agents; ++s) {
    const RandomStream random = context.Random(Purpose::kSignalNoise, s, /*iteration=*/0);
    for (int64_t t = 0; t < steps; ++t) {
      double normal = 0;
      random.Normals(static_cast<uint32_t>(iteration * steps + t), std::span(&normal, 1));
      values[s][t] = static_cast<float>(normal);
    }
  }
  return noise;
}

absl::Status UpdateByPpo(const InnerLoopContext& context, const agents::AgentShape& shape,
                         uint32_t iteration, int64_t num_updates, const agents::Segment& segment,
                         const torch::Tensor& signal, agents::AgentBatch* agents,
                         LoopReport* report) {
  const agents::PpoConfig config =
      agents::PpoConfigFromSpec(context.spec().agent(), /*update=*/iteration + 1, num_updates);
  MENTOR_ASSIGN_OR_RETURN(
      agents::UpdateResult result,
      agents::PpoUpdate(shape, *agents, segment, signal, config, context.Order(iteration),
                        {.device = context.device, .pool = context.pool}));
  *agents = std::move(result.agents);
  report->nonfinite_updates += static_cast<uint64_t>(result.nonfinite);
  return absl::OkStatus();
}

int64_t GraphNumbersPerStep(const agents::AgentShape& shape) {
  // Each network has two hidden layers, each as its sum and its tanh; then the heads and the input.
  return shape.observation_size + 2 * (4 * shape.hidden_units) + 4 * shape.action_size + 8;
}

LoopSizes SizesOfPpoAgents(const InnerLoopContext& context) {
  const v1::AgentSpec& agent = context.shard->spec().agent();
  const agents::AgentShape shape = ShapeOfAgents(*context.shard);
  const int64_t p = agents::AgentLayout(shape).size(), steps = context.steps();
  // The last minibatch may be almost twice as long (ppo.cc, RunEpochs).
  const int64_t rows = std::min(steps, 2 * (steps / std::max<int64_t>(1, agent.minibatches()) + 1));
  const int64_t graph = GraphNumbersPerStep(shape);
  LoopSizes sizes{
      // theta, m and v; the same of the update's result; theta with the normaliser folded in.
      .state = 7 * p,
      .saved = 3 * p,
      .policy = agents::AgentLayout(agents::WithoutCritic(shape)).size(),
      // Values, advantages, returns, a trace of every optimizer step, and the signals' noise.
      .at_once = context.num_agents() * 12 * steps,
      // theta, m, v and gradient of one agent (KernelAgent), and a minibatch forward and back.
      .per_thread = 5 * p + 2 * rows * graph};
  if (const agents::PpoConfig config =
          agents::PpoConfigFromSpec(agent, /*update=*/1, /*num_updates=*/1);
      agents::HavePpoKernels(shape, config)) {
    sizes.device_bytes =
        agents::PpoDeviceBytes(shape, config, context.num_agents(), steps).value_or(0);
  }
  // Autograd updates all agents side by side and copies them whole in an optimizer step.
  const NetworkSight sight(context);
  sizes.at_once += context.num_agents() * steps * sight.NumbersPerStep();
  sizes.saved += sight.NumbersPerStep();
  if (shape.discrete) sizes.at_once += context.num_agents() * (9 * p + 2 * rows * graph);
  return sizes;
}

void AddAgents(const std::string& name, agents::AgentBatch* agents, StateFields* fields) {
  if (agents->theta.defined()) fields->Add(name + ".theta", &agents->theta);
  if (agents->adam_m.defined()) fields->Add(name + ".adam_m", &agents->adam_m);
  if (agents->adam_v.defined()) fields->Add(name + ".adam_v", &agents->adam_v);
  if (agents->adam_steps.defined()) fields->Add(name + ".adam_steps", &agents->adam_steps);
}

void AddSignalState(const std::string& name, signals::SignalState* state, StateFields* fields) {
  for (size_t i = 0; i < state->recurrent.size(); ++i) {
    if (state->recurrent[i].defined())
      fields->Add(absl::StrCat(name, ".recurrent.", i), &state->recurrent[i]);
  }
  if (state->previous.defined()) fields->Add(name + ".previous", &state->previous);
}

void AddNormaliser(agents::ObservationNormaliser* normaliser, StateFields* fields) {
  if (normaliser->state().numel() > 0) fields->Add("observations", normaliser->mutable_state());
}

void ReportSegment(const agents::Segment& segment, LoopReport* report) {
  std::vector<double> returns, lengths;
  for (const auto& episodes : agents::EndedEpisodes(segment)) {
    for (const agents::EndedEpisode& episode : episodes) {
      returns.push_back(episode.shaped_return);
      lengths.push_back(static_cast<double>(episode.steps));
    }
  }
  const auto describe = [&](const std::string& name, const torch::Tensor& x) {
    if (x.numel() == 0) return;
    report->statistics[name + "_mean"] = x.mean().item<double>();
    report->statistics[name + "_sd"] = x.std(/*unbiased=*/false).item<double>();
  };
  describe("signal", segment.signals.to(torch::kFloat64));
  describe("episode_return", torch::tensor(returns, torch::kFloat64));
  describe("episode_length", torch::tensor(lengths, torch::kFloat64));
}

MetricTable SegmentMetrics() {
  return {
      {.name = "signal_mean", .help = "Mean of the signals."},
      {.name = "signal_sd", .help = "Standard deviation of the signals."},
      {.name = "episode_return_mean",
       .help = "Mean shaped return of the episodes that ended in this inner iteration."},
      {.name = "episode_return_sd",
       .help = "Standard deviation of the shaped return of the episodes that ended in this inner "
               "iteration."},
      {.name = "episode_length_mean",
       .help = "Mean length of the episodes that ended in this inner iteration, in steps."},
      {.name = "episode_length_sd",
       .help = "Standard deviation of the length of the episodes that ended in this inner "
               "iteration."},
  };
}

void CheckChoices(const InnerLoopContext& context, std::string_view why, std::string_view example,
                  Violations* violations) {
  if (context.shape().discrete_actions()) return;
  violations->Add("benchmark",
                  absl::StrFormat("has continuous actions, and %s: take one with choices, for "
                                  "instance %s",
                                  why, example));
}

void CheckMetaParameters(const InnerLoopContext& context, int64_t size, std::string_view whose,
                         Violations* violations) {
  const torch::Tensor& x = context.meta_parameters;
  if (!x.defined() || (x.dim() == 1 && x.numel() == size && x.isfinite().all().item<bool>()))
    return;
  violations->Add("shard.signal_version",
                  absl::StrFormat("has %d meta-parameters; %s has %d, all finite: give the options "
                                  "with which they were trained",
                                  x.numel(), whose, size));
}

LearningLoop::LearningLoop(InnerLoopContext context, const agents::AgentShape& shape)
    : InnerLoop(std::move(context)), shape_(shape), normaliser_(NormaliserOf(context_)) {}

void LearningLoop::Begin() {
  agents_ = FreshAgents(context_, shape_);
}

std::vector<v1::PolicyWeights> LearningLoop::Policies() const {
  return agents::ToPolicyWeights(shape_, normaliser_.Fold(shape_, agents_.theta));
}

void LearningLoop::State(StateFields* fields) {
  AddAgents("agents", &agents_, fields);
  AddNormaliser(&normaliser_, fields);
}

absl::StatusOr<agents::Segment> LearningLoop::CollectAndLearn(
    const Collect& collect, LoopReport* report,
    const std::function<absl::Status(const agents::Segment&)>& learn) {
  MENTOR_ASSIGN_OR_RETURN(agents::Segment segment, collect(Policies()));
  const CpuTimer timer;
  MENTOR_RETURN_IF_ERROR(learn(segment));
  normaliser_.Add(segment.observations);
  report->update_seconds += timer.Seconds();
  return segment;
}

bool LearningLoop::LearnsAfter(uint32_t iteration) const {
  return iteration + 1 < spec().lifetime().iterations();
}

}  // namespace mentor::methods
