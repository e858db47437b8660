#include "learner/signals/lstm_device.h"

#include <utility>
#include <vector>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "learner/kernels/device_memory.h"
#include "learner/signals/lstm_engine.h"

namespace mentor::learner {
namespace {

using torch::Tensor;

int64_t GroupsOf(int64_t lifetimes, int64_t group) {
  return (lifetimes + group - 1) / group;
}

// An engine and its memory.
class Engine {
 public:
  Engine(const LstmEngineShape& shape, const Device& device)
      : memory_(torch::empty({LstmEngineBytes<float>(shape) + int64_t{kAlignment}},
                             torch::TensorOptions(torch::kUInt8).device(MemoryOf(device)))) {
    auto at = reinterpret_cast<uintptr_t>(memory_.mutable_data_ptr());
    at = (at + kAlignment - 1) / kAlignment * kAlignment;
    auto* const memory = reinterpret_cast<void*>(at);
    engine_ = device.kind == DeviceKind::kCuda
                  ? MakeCudaLstmEngine(shape, memory, /*stream=*/nullptr, device.has_clusters)
                  : MakeEmulatedLstmEngine<float>(shape, memory);
  }
  LstmEngine<float>* operator->() const { return engine_.get(); }

 private:
  static constexpr uintptr_t kAlignment = 256;
  Tensor memory_;
  std::unique_ptr<LstmEngine<float>> engine_;
};

class Trainer : public PieceTrainer {
 public:
  Trainer(const LstmOnDevice& network, const PieceTrainerSetup& setup, const LstmEngineShape& shape,
          const PieceTrainerBatch& batch, const Tensor& weights, const Tensor& m, const Tensor& v)
      : setup_(setup),
        device_(network.device),
        memory_(MemoryOf(device_)),
        engine_(shape, network.device),
        features_(Here(batch.features, torch::kFloat32)),
        cut_features_(Here(batch.cut_features, torch::kFloat32)),
        signals_(Here(batch.signals, torch::kFloat32)),
        log_probs_(Here(batch.log_probs, torch::kFloat32)),
        advantages_(Here(batch.advantages, torch::kFloat64)),
        returns_(Here(batch.returns, torch::kFloat64)),
        weights_(Here(weights, torch::kFloat32).clone()),
        m_(Here(m, torch::kFloat32).clone()),
        v_(Here(v, torch::kFloat32).clone()),
        h_(torch::zeros({shape.lifetimes, shape.sizes.hidden}, Numbers(torch::kFloat32))),
        c_(torch::zeros_like(h_)),
        sums_(torch::zeros({GroupsOf(shape.lifetimes, setup.group_lifetimes), kTerms},
                           Numbers(torch::kFloat64))),
        norm_(torch::zeros({1}, Numbers(torch::kFloat64))),
        batch_{.lifetimes = shape.lifetimes,
               .steps = signals_.size(1),
               .features = features_.const_data_ptr<float>(),
               .cut_features =
                   cut_features_.defined() ? cut_features_.const_data_ptr<float>() : nullptr,
               .signals = signals_.const_data_ptr<float>(),
               .log_probs = log_probs_.const_data_ptr<float>(),
               .advantages = advantages_.const_data_ptr<double>(),
               .targets = returns_.const_data_ptr<double>()} {}

  absl::Status BeginEpoch() override {
    h_.zero_();
    c_.zero_();
    return absl::OkStatus();
  }

  absl::StatusOr<Piece> Train(int64_t begin, int64_t end) override {
    const UseDevice use(device_);
    MENTOR_RETURN_IF_ERROR(engine_->TrainPiece(
        setup_.loss, weights_.const_data_ptr<float>(), batch_, begin, end,
        h_.mutable_data_ptr<float>(), c_.mutable_data_ptr<float>(),
        static_cast<OuterLossTerms*>(sums_.mutable_data_ptr()), norm_.mutable_data_ptr<double>()));
    // The one time that a piece waits for the device.
    const Tensor sums = sums_.cpu(), norm = norm_.cpu();
    const auto* groups = static_cast<const OuterLossTerms*>(sums.const_data_ptr());
    return Piece{.groups = {groups, groups + sums.size(0)},
                 .grad_norm = *norm.const_data_ptr<double>()};
  }

  absl::Status Step(int64_t step) override {
    const UseDevice use(device_);
    return engine_->ClipAndStep(setup_.adam, step, setup_.max_grad_norm,
                                weights_.mutable_data_ptr<float>(), m_.mutable_data_ptr<float>(),
                                v_.mutable_data_ptr<float>());
  }

  absl::Status Read(Tensor weights, Tensor m, Tensor v) override {
    weights.copy_(weights_);
    m.copy_(m_);
    v.copy_(v_);
    return absl::OkStatus();
  }

 private:
  static constexpr int64_t kTerms = sizeof(OuterLossTerms) / sizeof(double);

  torch::TensorOptions Numbers(torch::Dtype dtype) const {
    return torch::TensorOptions(dtype).device(memory_);
  }
  Tensor Here(const Tensor& x, torch::Dtype dtype) const {
    return x.defined() ? x.to(memory_, dtype).contiguous() : x;
  }

  const PieceTrainerSetup setup_;
  const Device device_;
  const torch::Device memory_;
  const Engine engine_;
  // On the device.
  Tensor features_, cut_features_, signals_, log_probs_, advantages_, returns_;
  Tensor weights_, m_, v_, h_, c_, sums_, norm_;
  const LstmBatch<float> batch_;
};

// What the device lacks, as an error; before anything is begun.
absl::Status CheckMemory(const Device& device, const LstmEngineShape& shape, int64_t more) {
  if (device.kind != DeviceKind::kCuda) return absl::OkStatus();
  MENTOR_ASSIGN_OR_RETURN(const GpuMemory memory, MemoryOfGpu(device.index));
  const auto needed = static_cast<uint64_t>(LstmEngineBytes<float>(shape) + more);
  if (needed <= memory.free_bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrFormat(
      "%s: the outer update needs %.2f GB of its memory, %.2f GB of %.2f GB are free: take fewer "
      "lifetimes (rule.lifetimes_per_update) or shorter pieces (rule.option.k), or another device",
      device.name, 1e-9 * static_cast<double>(needed),
      1e-9 * static_cast<double>(memory.free_bytes),
      1e-9 * static_cast<double>(memory.total_bytes)));
}

}  // namespace

SignalOutputs LstmOnDevice::Run(const Tensor& weights, const Tensor& features, const Tensor& noise,
                                SignalState* state) const {
  const torch::NoGradGuard no_grad;
  const UseDevice use(device);
  const torch::Device memory = MemoryOf(device);
  const auto here = [&](const Tensor& x) { return x.to(memory, torch::kFloat32).contiguous(); };
  const int64_t lifetimes = features.size(0), steps = features.size(1);
  const Tensor w = here(weights), x = here(features), z = noise.defined() ? here(noise) : noise;
  Tensor h = here(state->recurrent[0]).clone(), c = here(state->recurrent[1]).clone(),
         previous = here(state->previous).clone();
  const Tensor signals = torch::empty({lifetimes, steps}, x.options());
  LstmRun<float> run{.lifetimes = lifetimes,
                     .steps = steps,
                     .log_initial_std = log_initial_std,
                     .features = x.const_data_ptr<float>(),
                     .h = h.mutable_data_ptr<float>(),
                     .c = c.mutable_data_ptr<float>(),
                     .previous = previous.mutable_data_ptr<float>(),
                     .signals = signals.mutable_data_ptr<float>()};
  Tensor log_probs, values;
  if (noise.defined()) {
    log_probs = torch::empty_like(signals);
    values = torch::empty_like(signals);
    run.noise = z.const_data_ptr<float>();
    run.log_probs = log_probs.mutable_data_ptr<float>();
    run.values = values.mutable_data_ptr<float>();
  }
  const Engine engine({.sizes = sizes, .log_initial_std = log_initial_std, .lifetimes = lifetimes},
                      device);
  const absl::Status status = engine->Act(w.const_data_ptr<float>(), run);
  TORCH_CHECK(status.ok(), status.ToString());
  const auto back = [](const Tensor& y) { return y.defined() ? y.cpu() : y; };
  *state = {{back(h), back(c)}, back(previous)};
  return {.signals = back(signals), .log_probs = back(log_probs), .values = back(values)};
}

absl::StatusOr<std::unique_ptr<PieceTrainer>> LstmOnDevice::NewTrainer(
    const PieceTrainerSetup& setup, const PieceTrainerBatch& batch, const Tensor& weights,
    const Tensor& m, const Tensor& v) const {
  const LstmEngineShape shape = {.sizes = sizes,
                                 .log_initial_std = log_initial_std,
                                 .lifetimes = batch.signals.size(0),
                                 .piece_steps = setup.piece_steps,
                                 .group_lifetimes = setup.group_lifetimes};
  // Features, with those at cuts, and five numbers of each step, of which two are doubles.
  const int64_t of_batch = batch.signals.numel() * 4 * (2 * sizes.features + 6);
  MENTOR_RETURN_IF_ERROR(CheckMemory(device, shape, of_batch));
  return std::make_unique<Trainer>(*this, setup, shape, batch, weights, m, v);
}

}  // namespace mentor::learner
