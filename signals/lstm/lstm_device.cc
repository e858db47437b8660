#include "signals/lstm/lstm_device.h"

#include <utility>
#include <vector>

#include "common/check.h"
#include "kernels/device_work.h"
#include "signals/lstm/lstm_engine.h"

namespace mentor::learner {
namespace {

using torch::Tensor;

int64_t GroupsOf(int64_t lifetimes, int64_t group) {
  return (lifetimes + group - 1) / group;
}

// An engine and its memory.
class Engine {
 public:
  Engine(const LstmEngineShape& shape, const DeviceWork& work, WorkerPool* pool)
      : memory_(torch::empty({Bytes(shape)},
                             torch::TensorOptions(torch::kUInt8).device(work.memory()))) {
    auto at = reinterpret_cast<uintptr_t>(memory_.mutable_data_ptr());
    at = (at + kAlignment - 1) / kAlignment * kAlignment;
    auto* const memory = reinterpret_cast<void*>(at);
    engine_ = work.device().kind == DeviceKind::kCuda
                  ? MakeCudaLstmEngine(shape, memory, work.stream(), work.device().has_clusters)
                  : MakeEmulatedLstmEngine<float>(shape, memory, pool);
  }
  static int64_t Bytes(const LstmEngineShape& shape) {
    return LstmEngineBytes<float>(shape) + int64_t{kAlignment};
  }
  LstmEngine<float>* operator->() const { return engine_.get(); }

 private:
  static constexpr uintptr_t kAlignment = 256;
  Tensor memory_;
  std::unique_ptr<LstmEngine<float>> engine_;
};

// One thread makes all calls, so all work goes to one stream.
class Trainer : public PieceTrainer {
 public:
  Trainer(DeviceLease lease, const PieceTrainerSetup& setup, const LstmEngineShape& shape,
          const PieceTrainerBatch& batch, const Tensor& weights, const Tensor& m, const Tensor& v,
          DeviceWork* work)
      : device_(work->device()),
        lease_(std::move(lease)),
        setup_(setup),
        engine_(shape, *work, setup.pool),
        features_(work->ToDevice(batch.features, torch::kFloat32)),
        cut_features_(work->ToDevice(batch.cut_features, torch::kFloat32)),
        signals_(work->ToDevice(batch.signals, torch::kFloat32)),
        log_probs_(work->ToDevice(batch.log_probs, torch::kFloat32)),
        advantages_(work->ToDevice(batch.advantages, torch::kFloat64)),
        returns_(work->ToDevice(batch.returns, torch::kFloat64)),
        weights_(work->ToDevice(weights, torch::kFloat32).clone()),
        m_(work->ToDevice(m, torch::kFloat32).clone()),
        v_(work->ToDevice(v, torch::kFloat32).clone()),
        h_(torch::zeros({shape.lifetimes, shape.sizes.hidden}, features_.options())),
        c_(torch::zeros_like(h_)),
        sums_(torch::zeros({GroupsOf(shape.lifetimes, setup.group_lifetimes), kTerms},
                           advantages_.options())),
        norm_(torch::zeros({1}, advantages_.options())),
        batch_{.lifetimes = shape.lifetimes,
               .steps = signals_.size(1),
               .features = features_.const_data_ptr<float>(),
               .cut_features =
                   cut_features_.defined() ? cut_features_.const_data_ptr<float>() : nullptr,
               .signals = signals_.const_data_ptr<float>(),
               .log_probs = log_probs_.const_data_ptr<float>(),
               .advantages = advantages_.const_data_ptr<double>(),
               .targets = returns_.const_data_ptr<double>()} {}

  // Memory of all of it. Features may exist twice: a second time for cuts.
  static int64_t Bytes(const LstmEngineShape& shape, int64_t steps) {
    const int64_t floats = shape.lifetimes *
                               (steps * (2 * shape.sizes.features + 2) + 2 * shape.sizes.hidden) +
                           // As received, and as they change.
                           6 * shape.sizes.NumWeights(),
                  doubles = shape.lifetimes * (2 * steps + kTerms) + 1;
    return Engine::Bytes(shape) + 4 * floats + 8 * doubles;
  }

  absl::Status BeginEpoch() override {
    return OnDevice(device_, kPhase, [&](DeviceWork&) {
      h_.zero_();
      c_.zero_();
      return absl::OkStatus();
    });
  }

  absl::StatusOr<Piece> Train(int64_t begin, int64_t end) override {
    Piece piece;
    MENTOR_RETURN_IF_ERROR(OnDevice(device_, kPhase, [&](DeviceWork& work) -> absl::Status {
      MENTOR_RETURN_IF_ERROR(work.Run([&] {
        return engine_->TrainPiece(setup_.loss, weights_.const_data_ptr<float>(), batch_, begin,
                                   end, h_.mutable_data_ptr<float>(), c_.mutable_data_ptr<float>(),
                                   static_cast<OuterLossTerms*>(sums_.mutable_data_ptr()),
                                   norm_.mutable_data_ptr<double>());
      }));
      // The only wait of a piece for the device.
      MENTOR_ASSIGN_OR_RETURN(const Tensor sums, work.ToHost(sums_));
      MENTOR_ASSIGN_OR_RETURN(const Tensor norm, work.ToHost(norm_));
      const auto* groups = static_cast<const OuterLossTerms*>(sums.const_data_ptr());
      piece = {.groups = {groups, groups + sums.size(0)},
               .grad_norm = *norm.const_data_ptr<double>()};
      return absl::OkStatus();
    }));
    return piece;
  }

  absl::Status Step(int64_t step) override {
    return OnDevice(device_, kPhase, [&](DeviceWork& work) {
      return work.Run([&] {
        return engine_->ClipAndStep(setup_.adam, step, setup_.max_grad_norm,
                                    weights_.mutable_data_ptr<float>(),
                                    m_.mutable_data_ptr<float>(), v_.mutable_data_ptr<float>());
      });
    });
  }

  absl::Status Read(Tensor weights, Tensor m, Tensor v) override {
    return OnDevice(device_, kPhase, [&](DeviceWork& work) -> absl::Status {
      for (const auto& [to, from] : {std::pair(weights, weights_), {m, m_}, {v, v_}}) {
        MENTOR_ASSIGN_OR_RETURN(const Tensor now, work.ToHost(from));
        to.copy_(now);
      }
      return absl::OkStatus();
    });
  }

 private:
  static constexpr auto kPhase = DevicePhase::kOuter;
  static constexpr int64_t kTerms = sizeof(OuterLossTerms) / sizeof(double);

  const Device device_;  // Its monitor outlives the lease.
  const DeviceLease lease_;
  const PieceTrainerSetup setup_;
  const Engine engine_;
  // On the device.
  Tensor features_, cut_features_, signals_, log_probs_, advantages_, returns_;
  Tensor weights_, m_, v_, h_, c_, sums_, norm_;
  const LstmBatch<float> batch_;
};

absl::StatusOr<DeviceLease> TakeMemory(const Device& device, int64_t bytes, const char* what,
                                       const char* remedy) {
  if (device.monitor == nullptr) return DeviceLease();
  return device.monitor->Take(static_cast<uint64_t>(bytes), what, remedy);
}

}  // namespace

int64_t LstmOnDevice::RunBytes(int64_t lifetimes, int64_t steps) const {
  // Features, noise, signals, log-densities and values of each step; states before and after.
  const int64_t floats =
      lifetimes * (steps * (sizes.features + 4) + 4 * sizes.hidden + 2) + sizes.NumWeights();
  return Engine::Bytes({.sizes = sizes, .lifetimes = lifetimes}) + 4 * floats;
}

SignalOutputs LstmOnDevice::Run(const Tensor& weights, const Tensor& features, const Tensor& noise,
                                SignalState* state) const {
  const torch::NoGradGuard no_grad;
  const int64_t lifetimes = features.size(0), steps = features.size(1);
  SignalOutputs outputs;
  const auto run = [&](DeviceWork& work) -> absl::Status {
    const auto here = [&](const Tensor& x) { return work.ToDevice(x, torch::kFloat32); };
    const Tensor w = here(weights), x = here(features), z = here(noise);
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
    const Engine engine(
        {.sizes = sizes, .log_initial_std = log_initial_std, .lifetimes = lifetimes}, work,
        /*pool=*/nullptr);
    MENTOR_RETURN_IF_ERROR(work.Run([&] { return engine->Act(w.const_data_ptr<float>(), run); }));
    for (const auto& [to, from] : {std::pair(&outputs.signals, signals),
                                   {&outputs.log_probs, log_probs},
                                   {&outputs.values, values},
                                   {&state->recurrent[0], h},
                                   {&state->recurrent[1], c},
                                   {&state->previous, previous}}) {
      MENTOR_ASSIGN_OR_RETURN(*to, work.ToHost(from));
    }
    return absl::OkStatus();
  };
  const auto lease =
      TakeMemory(device, RunBytes(lifetimes, steps), "the signal network along a shard's steps",
                 "make rule.shard_lifetimes smaller, or take another device");
  const absl::Status status =
      lease.ok() ? OnDevice(device, DevicePhase::kSignal, run) : lease.status();
  TORCH_CHECK(status.ok(), status.ToString());
  return outputs;
}

namespace {

LstmEngineShape ShapeOf(const LstmOnDevice& network, const PieceTrainerSetup& setup,
                        int64_t lifetimes) {
  return {.sizes = network.sizes,
          .log_initial_std = network.log_initial_std,
          .lifetimes = lifetimes,
          .piece_steps = setup.piece_steps,
          .group_lifetimes = setup.group_lifetimes};
}

}  // namespace

int64_t LstmOnDevice::TrainerBytes(const PieceTrainerSetup& setup, int64_t lifetimes,
                                   int64_t steps) const {
  return Trainer::Bytes(ShapeOf(*this, setup, lifetimes), steps);
}

absl::StatusOr<std::unique_ptr<PieceTrainer>> LstmOnDevice::NewTrainer(
    const PieceTrainerSetup& setup, const PieceTrainerBatch& batch, const Tensor& weights,
    const Tensor& m, const Tensor& v) const {
  const LstmEngineShape shape = ShapeOf(*this, setup, batch.signals.size(0));
  MENTOR_ASSIGN_OR_RETURN(
      DeviceLease lease,
      TakeMemory(device, Trainer::Bytes(shape, batch.signals.size(1)), "the outer update",
                 "make rule.lifetimes_per_update or rule.option.k smaller, or take another "
                 "device"));
  std::unique_ptr<PieceTrainer> trainer;
  MENTOR_RETURN_IF_ERROR(OnDevice(device, DevicePhase::kOuter, [&](DeviceWork& work) {
    trainer =
        std::make_unique<Trainer>(std::move(lease), setup, shape, batch, weights, m, v, &work);
    return absl::OkStatus();
  }));
  return trainer;
}

}  // namespace mentor::learner
