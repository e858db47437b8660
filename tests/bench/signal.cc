// The signal network along lifetimes, and an epoch of the outer PPO, with the shapes of ML1. Each
// is beside a straightforward LibTorch program. CPU seconds of one thread, or on a GPU the wall
// clock.
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "methods/shared/outer_ppo.h"
#include "signals/lstm/lstm_plain.h"
#include "signals/signal_network.h"
#include "tests/bench/bench.h"
#include "tests/bench/workload.h"

namespace mentor::bench {
namespace {

constexpr int64_t kStepsOfLifetime = kIterations * kSteps;
constexpr double kPieces = static_cast<double>(kTrainedSteps) / kPiece;

struct Network {
  std::unique_ptr<signals::SignalNetwork> own;
  signals::LstmPlain plain;
  torch::Tensor weights;

  explicit Network(const kernels::Device& device) {
    Violations violations;
    own = signals::MakeSignalNetwork(
        v1::SignalSpec(),
        {.observation_size = kObservation, .action_size = kAction, .device = device}, &violations);
    MENTOR_CHECK(own != nullptr);
    plain.sizes.features = kObservation + kAction + kernels::LstmSizes().side;
    plain.layout = own->layout();
    weights = own->InitialWeights(1);
  }
};

agents::Segment SignalSegment(int64_t lifetimes, int64_t steps) {
  agents::Segment segment = AgentsSegment(lifetimes, steps);
  segment.success_signals = torch::zeros({lifetimes, steps});
  return segment;
}

// Seconds of a second run; the first one warms up.
double WarmSeconds(const kernels::Device& device, const std::function<void()>& work) {
  work();
  return SecondsOf(device, work);
}

// Seconds of our network along one lifetime, in lock-step with all others.
double OwnLifetime(const Network& network, const kernels::Device& device, int64_t lifetimes) {
  const agents::Segment segment = SignalSegment(lifetimes, kSteps);
  const torch::Tensor noise = NormalTensor({lifetimes, kSteps}, 3);
  const double seconds = WarmSeconds(device, [&] {
    auto state = network.own->signals()->InitialState(lifetimes, torch::kFloat32);
    network.own->signals()->Run(network.weights, segment, noise, &state);
  });
  return seconds * kIterations / static_cast<double>(lifetimes);
}

// The same of LibTorch, step by step.
double PlainLifetime(const Network& network, int64_t lifetimes) {
  constexpr int64_t kFewSteps = 200;
  const agents::Segment segment = SignalSegment(lifetimes, kFewSteps);
  const torch::Tensor features =
      network.own->density()->Features(segment, torch::zeros({lifetimes, kFewSteps}));
  const torch::Tensor noise = NormalTensor({lifetimes, kFewSteps}, 3);
  const double seconds = WarmSeconds({}, [&] {
    auto state = network.own->signals()->InitialState(lifetimes, torch::kFloat32);
    network.plain.Run(network.weights, features, noise, &state);
  });
  return seconds * kStepsOfLifetime / kFewSteps / static_cast<double>(lifetimes);
}

void AddSignal(const Network& network, const kernels::Device& device, Figures* figures) {
  const bool cuda = device.kind == kernels::DeviceKind::kCuda;
  std::map<int64_t, double> own;
  for (const int64_t lifetimes :
       cuda ? std::vector<int64_t>{30, 132, 512} : std::vector<int64_t>{1, 15, 30}) {
    own[lifetimes] = OwnLifetime(network, device, lifetimes);
    (*figures)[absl::StrCat("lifetime_s", lifetimes)] = {own[lifetimes], "s"};
  }
  if (cuda) return;
  const double plain = PlainLifetime(network, 1);
  (*figures)["plain_s1"] = {plain, "s"};
  (*figures)["plain_s15"] = {PlainLifetime(network, 15), "s"};
  for (const int64_t lifetimes : {15, 30}) {
    (*figures)[absl::StrCat("speedup_s", lifetimes)] = {plain / own.at(lifetimes), "ratio"};
  }
}

// The trained steps of all lifetimes.
methods::OuterPpoBatch OuterBatch(const Network& network) {
  agents::Segment steps = SignalSegment(kLifetimes, kTrainedSteps);
  auto state = network.own->signals()->InitialState(kLifetimes, torch::kFloat32);
  const auto acted = network.own->signals()->Run(
      network.weights, steps, NormalTensor({kLifetimes, kTrainedSteps}, 3), &state);
  steps.signals = acted.signals;
  steps.signal_log_probs = acted.log_probs;
  return methods::MakeOuterPpoBatch(
      *network.own->density(), steps,
      methods::StandardiseAdvantages(NormalTensor({kLifetimes, kTrainedSteps}, 4)), acted.values);
}

absl::StatusOr<double> OuterEpoch(const Network& network, const kernels::Device& device,
                                  const methods::OuterPpoBatch& batch) {
  const methods::OuterPpoConfig config{.target_kl = 0, .k = kPiece};
  torch::Tensor weights = network.weights.clone();
  methods::AdamState adam{torch::zeros_like(weights), torch::zeros_like(weights), 0};
  const int64_t displacement = kPiece / 2;
  absl::Status status;
  const double seconds = SecondsOf(device, [&] {
    status = methods::RunOuterPpo(*network.own, config, batch, {&displacement, 1}, weights, &adam,
                                  nullptr)
                 .status();
  });
  MENTOR_RETURN_IF_ERROR(status);
  return seconds;
}

// The same in LibTorch: the gradients of one piece, for all.
double PlainEpoch(const Network& network, const methods::OuterPpoBatch& batch) {
  const auto piece = [](const torch::Tensor& x) { return x.narrow(1, 0, kPiece); };
  return kPieces * SecondsOf({}, [&] {
           const at::AutoGradMode gradients(true);
           const torch::Tensor leaf = network.weights.clone().requires_grad_(true);
           const auto evaluation = network.plain.Evaluate(
               leaf, piece(batch.features), piece(batch.outputs),
               network.own->signals()->InitialState(kLifetimes, torch::kFloat32).recurrent);
           const torch::Tensor loss =
               (evaluation.log_probs + evaluation.log_stds + evaluation.values).mean();
           torch::autograd::grad({loss}, {leaf});
         });
}

}  // namespace

absl::StatusOr<Figures> MeasureSignal(const Settings& settings) {
  const kernels::Device& device = settings.device;
  if (device.kind == kernels::DeviceKind::kEmulated) {
    return absl::UnimplementedError("the emulation is too slow for whole lifetimes");
  }
  const Network network(device);
  Figures figures;
  AddSignal(network, device, &figures);
  const methods::OuterPpoBatch batch = OuterBatch(network);
  MENTOR_ASSIGN_OR_RETURN(const double epoch, OuterEpoch(network, device, batch));
  figures["outer_epoch"] = {epoch, "s"};
  if (device.kind == kernels::DeviceKind::kCuda) return figures;
  const double plain = PlainEpoch(network, batch), peak = FmaPeak();
  figures["outer_plain"] = {plain, "s"};
  figures["outer_speedup"] = {plain / epoch, "ratio"};
  figures["fma_peak"] = {1e-9 * peak, "GFLOP/s"};
  figures["outer_floor"] = {SignalFlop(kLifetimes * kTrainedSteps, /*backward=*/true) / peak, "s"};
  return figures;
}

}  // namespace mentor::bench
