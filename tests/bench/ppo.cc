// One optimizer step of stacked agents beside a straightforward LibTorch eager loop
// (docs/performance.md, `ppo`).
#include "agents/ppo.h"

#include <torch/nn/modules/linear.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adam.h>

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <span>
#include <vector>

#include <absl/strings/str_cat.h>

#include "agents/agent_shape.h"
#include "common/check.h"
#include "tests/bench/bench.h"
#include "tests/bench/floor.h"
#include "tests/bench/workload.h"

namespace mentor::bench {
namespace {

// Optimizer steps of one measurement.
constexpr int64_t kOptimizerSteps = 256;
// Numbers of agents side by side: for a CPU, for a GPU, and for the slow emulation.
constexpr int64_t kStacksCpu[] = {1, 5, 15, 30};
constexpr int64_t kStacksCuda[] = {30, 132, 512, 2048};
constexpr int64_t kStacksEmulated[] = {1};

learner::Segment AgentsSegment(int64_t num_agents) {
  learner::Segment segment;
  segment.observations = NormalTensor({num_agents, kSteps, kObservation}, 0);
  segment.actions = NormalTensor({num_agents, kSteps, kAction}, 1);
  // Densities of unit normals about zero, as of the first policies.
  segment.log_probs = -0.5 * segment.actions.square().sum(-1) - 0.9189385 * kAction;
  segment.prev_done = torch::zeros({num_agents, kSteps});
  segment.last_done = torch::ones({num_agents});
  segment.next_observations = NormalTensor({num_agents, kObservation}, 2);
  return segment;
}

// One agent as a user of LibTorch writes it: modules, autograd and the library's optimizer.
class EagerAgent {
 public:
  EagerAgent() {
    for (Net* net : {&policy_, &value_}) {
      const int64_t out = net == &policy_ ? kAction : 1;
      *net = {torch::nn::Linear(kObservation, kHidden), torch::nn::Linear(kHidden, kHidden),
              torch::nn::Linear(kHidden, out)};
      for (const torch::nn::Linear& layer : *net) {
        parameters_.push_back(layer->weight);
        parameters_.push_back(layer->bias);
      }
    }
    parameters_.push_back(log_std_);
    optimizer_ = std::make_unique<torch::optim::Adam>(parameters_,
                                                      torch::optim::AdamOptions(3e-4).eps(1e-5));
  }

  void Step(const learner::Segment& segment, const torch::Tensor& advantages,
            const torch::Tensor& returns, const torch::Tensor& rows) {
    const torch::Tensor observations = segment.observations[0].index_select(0, rows);
    const torch::Tensor actions = segment.actions[0].index_select(0, rows);
    const torch::Tensor old_log_probs = segment.log_probs[0].index_select(0, rows);
    torch::Tensor advantage = advantages[0].index_select(0, rows);
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8);
    const torch::Tensor z = (actions - Forward(policy_, observations)) / log_std_.exp();
    const torch::Tensor log_probs = (-0.5 * z.square() - log_std_ - 0.9189385).sum(-1);
    const torch::Tensor ratio = (log_probs - old_log_probs).exp();
    const torch::Tensor policy_loss =
        torch::max(-advantage * ratio, -advantage * ratio.clamp(0.8, 1.2)).mean();
    const torch::Tensor values = Forward(value_, observations).squeeze(-1);
    const torch::Tensor value_loss =
        0.5 * (values - returns[0].index_select(0, rows)).square().mean();
    const torch::Tensor loss = policy_loss + 0.5 * value_loss;
    optimizer_->zero_grad();
    loss.backward();
    torch::nn::utils::clip_grad_norm_(parameters_, 0.5);
    optimizer_->step();
  }

 private:
  using Net = std::vector<torch::nn::Linear>;

  torch::Tensor Forward(Net& net, const torch::Tensor& x) {
    return net[2](net[1](net[0](x).tanh()).tanh());
  }

  Net policy_, value_;
  torch::Tensor log_std_ = torch::zeros({kAction}, torch::requires_grad());
  std::vector<torch::Tensor> parameters_;
  std::unique_ptr<torch::optim::Adam> optimizer_;
};

// Milliseconds of one agent's optimizer step as a user of LibTorch writes it, with modules,
// autograd and torch::optim::Adam.
double EagerModulesMs() {
  const learner::Segment one = AgentsSegment(1);
  const torch::Tensor advantages = NormalTensor({1, kSteps}, 3),
                      returns = NormalTensor({1, kSteps}, 4);
  EagerAgent eager;
  const auto epochs = [&](int64_t count) {
    for (int64_t epoch = 0; epoch < count; ++epoch) {
      const torch::Tensor order = torch::empty({kSteps}, torch::kInt64);
      learner::Permutation({.seed = 1, .purpose = Purpose::kMinibatchOrder},
                           static_cast<uint32_t>(epoch), {order.data_ptr<int64_t>(), kSteps});
      for (int64_t i = 0; i < kMinibatches; ++i)
        eager.Step(one, advantages, returns, order.narrow(0, i * kBatch, kBatch));
    }
  };
  epochs(1);  // Warm-up.
  constexpr int64_t kEpochs = kOptimizerSteps / kMinibatches;
  return 1e3 * SecondsOf({}, [&] { epochs(kEpochs); }) / kOptimizerSteps;
}

// Agents for the measurement of an update with values, advantages and permutations.
class Stack {
 public:
  Stack(int64_t num_agents, int64_t epochs)
      : segment_(AgentsSegment(num_agents)), rewards_(NormalTensor({num_agents, kSteps}, 5)) {
    config_.epochs = epochs;
    lifetimes_.resize(static_cast<size_t>(num_agents));
    std::iota(lifetimes_.begin(), lifetimes_.end(), 0);
    agents_ = learner::NewAgents(
        learner::InitialTheta(shape_, /*initial_std=*/1, /*seed=*/1, Phase::kTraining, lifetimes_));
  }

  // Milliseconds of an optimizer step of one agent.
  absl::StatusOr<double> StepMs(const learner::Device& device, bool autograd) const {
    const learner::MinibatchOrder order = learner::KeyedOrder(1, Phase::kTraining, 0, lifetimes_);
    absl::StatusOr<learner::UpdateResult> result;
    const double seconds = SecondsOf(device, [&] {
      result = learner::PpoUpdate(
          shape_, agents_, segment_, rewards_, config_, order,
          {.engine = autograd ? learner::PpoEngine::kAutograd : learner::PpoEngine::kDefault,
           .device = device});
    });
    MENTOR_RETURN_IF_ERROR(result.status());
    MENTOR_CHECK(result->nonfinite == 0);
    return 1e3 * seconds /
           static_cast<double>(config_.epochs * kMinibatches * segment_.observations.size(0));
  }

 private:
  const learner::AgentShape shape_{.observation_size = kObservation, .action_size = kAction};
  const learner::Segment segment_;
  const torch::Tensor rewards_;
  learner::PpoConfig config_;
  std::vector<uint32_t> lifetimes_;
  learner::AgentBatch agents_;
};

absl::StatusOr<Figures> RunPpoOnCpu() {
  Figures figures;
  double eager = EagerModulesMs();
  figures["eager_modules"] = {eager, "ms"};
  std::map<std::string, double> ours;
  for (const int64_t s : kStacksCpu) {
    // Warm-up.
    const Stack small(s, /*epochs=*/1);
    MENTOR_RETURN_IF_ERROR(small.StepMs({}, /*autograd=*/true).status());
    MENTOR_RETURN_IF_ERROR(small.StepMs({}, /*autograd=*/false).status());
    const Stack stack(s, kOptimizerSteps / kMinibatches);
    const std::string suffix = absl::StrCat("_s", s);
    MENTOR_ASSIGN_OR_RETURN(const double eager_ms, stack.StepMs({}, /*autograd=*/true));
    MENTOR_ASSIGN_OR_RETURN(ours[suffix], stack.StepMs({}, /*autograd=*/false));
    figures["eager" + suffix] = {eager_ms, "ms"};
    figures["step" + suffix] = {ours[suffix], "ms"};
    eager = std::min(eager, eager_ms);
  }
  figures["eager"] = {eager, "ms", "the least of those, the reference"};
  for (const auto& [suffix, ms] : ours)
    figures["speedup" + suffix] = {eager / ms, "ratio", "must 1.0, goal 2.0"};
  const double peak = FmaPeak(), floor_ms = 1e3 * FlopOf(PpoStepProducts()) / peak;
  figures["fma_peak"] = {1e-9 * peak, "GFLOP/s"};
  figures["floor"] = {floor_ms, "ms", "its matrix products at that rate"};
  figures["step_over_floor_s30"] = {ours.at("_s30") / floor_ms, "ratio"};
  return figures;
}

absl::StatusOr<Figures> RunPpo(const Settings& settings) {
  const learner::Device& device = settings.device;
  if (device.kind == learner::DeviceKind::kCpu) return RunPpoOnCpu();
  const bool cuda = device.kind == learner::DeviceKind::kCuda;
  const std::span<const int64_t> stacks =
      cuda ? std::span<const int64_t>(kStacksCuda) : std::span<const int64_t>(kStacksEmulated);
  Figures figures;
  for (const int64_t s : stacks) {
    const std::string suffix = absl::StrCat("_s", s);
    MENTOR_RETURN_IF_ERROR(Stack(s, /*epochs=*/1).StepMs(device, /*autograd=*/false).status());
    const Stack stack(s, cuda ? kOptimizerSteps / kMinibatches : 1);
    MENTOR_ASSIGN_OR_RETURN(const double ms, stack.StepMs(device, /*autograd=*/false));
    figures["step" + suffix] = {ms, "ms"};
    figures["agent_updates" + suffix] = {1e3 / ms, "1/s"};
    figures["all_agents_step" + suffix] = {ms * static_cast<double>(s), "ms",
                                           s == 132 ? "goal 0.1" : ""};
  }
  return figures;
}

const RegisterBench register_ppo(
    {.name = "ppo",
     .summary = "Optimizer step of stacked agents against an eager loop, one thread",
     .run = RunPpo});

}  // namespace
}  // namespace mentor::bench
