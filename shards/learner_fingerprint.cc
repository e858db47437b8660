#include "shards/learner_fingerprint.h"

#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "agents/adam.h"
#include "agents/numerics.h"
#include "agents/ppo.h"
#include "common/check.h"
#include "common/status.h"
#include "kernels/device_monitor.h"
#include "kernels/device_work.h"
#include "kernels/optimizer.h"
#include "signals/signal_network.h"

namespace mentor::shards {
namespace {

using torch::Tensor;

constexpr int64_t kAgents = 2, kSteps = 48, kObservation = 39, kAction = 4;

agents::Segment RandomSegment() {
  agents::Segment segment;
  segment.observations = agents::ProofNormals({kAgents, kSteps, kObservation}, 5);
  segment.actions = agents::ProofNormals({kAgents, kSteps, kAction}, 6);
  // Densities of unit normals.
  segment.log_probs = -0.5 * segment.actions.square().sum(-1) - 3.6757541;
  segment.shaped_rewards = agents::ProofNormals({kAgents, kSteps}, 7);
  segment.success_signals = segment.shaped_rewards.gt(1).to(torch::kFloat32);
  segment.prev_done = torch::zeros({kAgents, kSteps});
  segment.prev_done.select(1, kSteps / 2).fill_(1);
  segment.last_done = torch::zeros({kAgents});
  segment.next_observations = agents::ProofNormals({kAgents, kObservation}, 8);
  return segment;
}

// A device that cannot compute its fingerprint is useless.
void MustWork(const kernels::Device& device, const absl::Status& status) {
  if (!status.ok() && device.monitor != nullptr) {
    device.monitor->Lost(absl::InternalError(absl::StrCat(
        device.name, " does not compute its fingerprint: ", std::string(status.message()))));
  }
  MENTOR_CHECK(status.ok());
}

// The few megabytes of a fingerprint are not counted.
kernels::Device WithoutLimits(kernels::Device device) {
  if (device.monitor == nullptr) return device;
  kernels::DeviceMonitor::Options options = device.monitor->options();
  options.memory_bytes = 0;
  options.on_lost = [monitor = device.monitor](const absl::Status& why) { monitor->Lost(why); };
  device.monitor = std::make_shared<kernels::DeviceMonitor>(options);
  return device;
}

// Two agents after an update.
absl::StatusOr<Tensor> Updated(const kernels::Device& device, const agents::Segment& segment) {
  const agents::AgentShape shape{.observation_size = kObservation, .action_size = kAction};
  const std::vector<uint32_t> lifetimes = {0, 1};
  agents::PpoConfig config;
  config.epochs = 2;
  config.minibatches = 4;
  const auto result = agents::PpoUpdate(
      shape,
      agents::NewAgents(
          agents::InitialTheta(shape, /*initial_std=*/1, /*seed=*/0, Phase::kTraining, lifetimes)),
      segment, segment.shaped_rewards, config,
      agents::KeyedOrder(/*seed=*/0, Phase::kTraining, /*iteration=*/0, lifetimes),
      {.device = device});
  MENTOR_RETURN_IF_ERROR(result.status());
  return result->agents.theta;
}

// The network's weights after a step of outer PPO on its own outputs.
absl::StatusOr<Tensor> Trained(const signals::SignalNetwork& network, const Tensor& weights,
                               const agents::Segment& segment,
                               const signals::SignalOutputs& acted) {
  const signals::SignalDensity& density = *network.density();
  const Tensor features = density.Features(segment, torch::zeros({kAgents, kSteps})),
               advantages = agents::ProofNormals({kAgents, kSteps}, 9).to(torch::kFloat64),
               returns = acted.values.to(torch::kFloat64).contiguous();
  const signals::PieceTrainerSetup setup = {.loss = {},
                                            .adam = {.learning_rate = 1e-3},
                                            .max_grad_norm = 0.5,
                                            .group_lifetimes = kAgents,
                                            .piece_steps = kSteps,
                                            .pieces = 1};
  Tensor trained = weights.clone(), m = torch::zeros_like(weights), v = torch::zeros_like(weights);
  MENTOR_ASSIGN_OR_RETURN(const auto trainer, density.NewTrainer(setup,
                                                                 {.features = features,
                                                                  .cut_features = {},
                                                                  .signals = acted.signals,
                                                                  .log_probs = acted.log_probs,
                                                                  .advantages = advantages,
                                                                  .returns = returns},
                                                                 trained, m, v));
  if (trainer != nullptr) {
    MENTOR_RETURN_IF_ERROR(trainer->BeginEpoch());
    MENTOR_RETURN_IF_ERROR(trainer->Train(0, kSteps));
    MENTOR_RETURN_IF_ERROR(trainer->Step(1));
    MENTOR_RETURN_IF_ERROR(trainer->Read(trained, m, v));
    return trained;
  }
  Tensor gradient;
  const auto loss = [&](int64_t lifetime, int64_t step, const kernels::StepTerms& now) {
    const int64_t i = lifetime * kSteps + step;
    return kernels::EvaluateOuterStep(setup.loss, static_cast<double>(kAgents * kSteps), now,
                                      {.log_prob = acted.log_probs.const_data_ptr<float>()[i],
                                       .advantage = advantages.const_data_ptr<double>()[i],
                                       .target = returns.const_data_ptr<double>()[i]})
        .derivatives;
  };
  density.GradientAt(weights)(features, acted.signals,
                              network.signals()->InitialState(kAgents, torch::kFloat32).recurrent,
                              loss, &gradient);
  const std::span<const float> numbers(gradient.const_data_ptr<float>(),
                                       static_cast<size_t>(gradient.numel()));
  kernels::AdamStepInPlace<float>(
      setup.adam, 1,
      kernels::ClipScale(std::sqrt(kernels::SquaredNorm(numbers)), setup.max_grad_norm), numbers,
      trained.mutable_data_ptr<float>(), m.mutable_data_ptr<float>(), v.mutable_data_ptr<float>());
  return trained;
}

absl::StatusOr<std::string> Fingerprint(const kernels::Device& unlimited) {
  const kernels::Device device = WithoutLimits(unlimited);
  MENTOR_ASSIGN_OR_RETURN(const std::vector<Tensor> results, KernelResults(device));
  MENTOR_ASSIGN_OR_RETURN(const std::vector<Tensor> of_cpu, KernelResults({}));
  const bool same = std::equal(results.begin(), results.end(), of_cpu.begin(), of_cpu.end(),
                               [](const Tensor& a, const Tensor& b) { return a.equal(b); });
  return same ? std::string(agents::kArithmetic) : agents::ArithmeticHash(results);
}

}  // namespace

std::string LearnerFingerprint(const kernels::Device& device) {
  if (device.kind == kernels::DeviceKind::kCpu) return agents::kArithmetic;
  if (!device.fingerprint.empty()) return device.fingerprint;
  const auto fingerprint = Fingerprint(device);
  MustWork(device, fingerprint.status());
  return *fingerprint;
}

absl::Status ProveDevice(kernels::Device* device) {
  if (device->kind == kernels::DeviceKind::kCpu) return absl::OkStatus();
  const auto fingerprint = Fingerprint(*device);
  // Nothing is wrong with a device that others fill.
  if (absl::IsResourceExhausted(fingerprint.status())) return fingerprint.status();
  MustWork(*device, fingerprint.status());
  device->fingerprint = *fingerprint;
  return absl::OkStatus();
}

absl::Status CheckBits(const kernels::Device& device) {
  const std::string found = LearnerFingerprint(device), expected = LearnerFingerprint();
  if (found == expected) return absl::OkStatus();
  return MakeError(
      Reason::kNumericMismatch,
      absl::StrFormat("--device: the kernels of %s compute other bits than the CPU (fingerprint "
                      "%s, expected %s): give the meta-learner --device cpu, or another device; "
                      "learners may use this one",
                      device.name, found, expected));
}

absl::StatusOr<std::vector<Tensor>> KernelResults(const kernels::Device& device) {
  const torch::NoGradGuard no_grad;
  const agents::Segment segment = RandomSegment();
  v1::SignalSpec spec;
  spec.set_name("lstm");
  Violations violations;
  const auto network = signals::MakeSignalNetwork(
      spec, {.observation_size = kObservation, .action_size = kAction, .device = device},
      &violations);
  MENTOR_CHECK(network != nullptr);
  try {
    const Tensor weights = network->InitialWeights(/*seed=*/0);
    signals::SignalState state = network->signals()->InitialState(kAgents, torch::kFloat32);
    const signals::SignalOutputs acted = network->signals()->Run(
        weights, segment, agents::ProofNormals({kAgents, kSteps}, 10), &state);
    MENTOR_ASSIGN_OR_RETURN(const Tensor updated, Updated(device, segment));
    MENTOR_ASSIGN_OR_RETURN(const Tensor trained, Trained(*network, weights, segment, acted));
    return std::vector<Tensor>{updated, acted.signals, acted.log_probs, acted.values, trained};
  } catch (const c10::Error& error) {
    return kernels::TorchError(error);
  }
}

}  // namespace mentor::shards
