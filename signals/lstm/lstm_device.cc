#include "signals/lstm/lstm_device.h"

#include <chrono>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "agents/worker_pool.h"
#include "common/check.h"
#include "kernels/device_work.h"
#include "signals/lstm/lstm_engine.h"

namespace mentor::signals {
namespace {

using torch::Tensor;

// Between two looks whether work that waits for memory is still wanted.
constexpr std::chrono::milliseconds kRoomLook{50};
constexpr int64_t kArrays = 16;  // At most as many at once, with the engine's one.

int64_t GroupsOf(int64_t lifetimes, int64_t group) {
  return (lifetimes + group - 1) / group;
}

// An engine and its memory.
class Engine {
 public:
  absl::Status Open(const LstmEngineShape& shape, kernels::DeviceWork* work,
                    agents::WorkerPool* pool) {
    MENTOR_ASSIGN_OR_RETURN(memory_, work->Allocate<char>(LstmEngineBytes<float>(shape)));
    const kernels::Device& device = work->device();
    engine_ = device.kind == kernels::DeviceKind::kCuda
                  ? MakeCudaLstmEngine(shape, memory_.data(), work->stream(), device.has_clusters)
                  : MakeEmulatedLstmEngine<float>(shape, memory_.data(), pool);
    return absl::OkStatus();
  }
  LstmEngine<float>* operator->() const { return engine_.get(); }

 private:
  kernels::DeviceArray<char> memory_;
  std::unique_ptr<LstmEngine<float>> engine_;
};

// One thread makes all calls, so all work goes to one stream.
class Trainer : public PieceTrainer {
 public:
  Trainer(kernels::DeviceLease lease, const kernels::Device& device, const PieceTrainerSetup& setup)
      : device_(device), lease_(std::move(lease)), setup_(setup) {}

  absl::Status Open(const LstmEngineShape& shape, const LstmPlain& plain,
                    const PieceTrainerBatch& batch, const Tensor& weights, const Tensor& m,
                    const Tensor& v, kernels::DeviceWork* work) {
    MENTOR_RETURN_IF_ERROR(engine_.Open(shape, work, setup_.pool));
    const int64_t steps = batch.signals.size(1);
    const Tensor features = plain.Forward(batch.features, steps),
                 cut = batch.cut_features.defined() ? plain.Forward(batch.cut_features, steps)
                                                    : Tensor(),
                 later = plain.sizes.both ? plain.Backward(batch.features) : Tensor();
    for (const auto& [to, from] : {std::pair(&features_, &features),
                                   {&cut_features_, &cut},
                                   {&later_features_, &later},
                                   {&signals_, &batch.signals},
                                   {&log_probs_, &batch.log_probs},
                                   {&weights_, &weights},
                                   {&m_, &m},
                                   {&v_, &v}}) {
      MENTOR_ASSIGN_OR_RETURN(*to, work->ToDevice<float>(*from));
    }
    for (const auto& [to, from] :
         {std::pair(&advantages_, &batch.advantages), {&returns_, &batch.returns}}) {
      MENTOR_ASSIGN_OR_RETURN(*to, work->ToDevice<double>(*from));
    }
    for (kernels::DeviceArray<float>* state : {&h_, &c_}) {
      MENTOR_ASSIGN_OR_RETURN(*state, work->Allocate<float>(shape.lifetimes * shape.sizes.hidden));
    }
    groups_ = GroupsOf(shape.lifetimes, setup_.group_lifetimes);
    MENTOR_ASSIGN_OR_RETURN(sums_,
                            work->Allocate<kernels::OuterLossTerms>(setup_.pieces * groups_));
    MENTOR_ASSIGN_OR_RETURN(norms_, work->Allocate<double>(setup_.pieces));
    batch_ = {.lifetimes = shape.lifetimes,
              .steps = steps,
              .features = features_.data(),
              .cut_features = cut_features_.data(),
              .later_features = later_features_.data(),
              .signals = signals_.data(),
              .log_probs = log_probs_.data(),
              .advantages = advantages_.data(),
              .targets = returns_.data()};
    return absl::OkStatus();
  }

  // Memory of all of it. Features may exist once more for cuts, and do for a second LSTM.
  static int64_t Bytes(const LstmEngineShape& shape, int64_t pieces, int64_t steps) {
    const int64_t copies = shape.sizes.both ? 3 : 2;
    const int64_t floats = shape.lifetimes * (steps * (copies * shape.sizes.features + 2) +
                                              2 * shape.sizes.hidden) +
                           3 * shape.sizes.NumWeights(),
                  groups = GroupsOf(shape.lifetimes, shape.group_lifetimes),
                  doubles = 2 * shape.lifetimes * steps + pieces * (groups * kTerms + 1);
    return LstmEngineBytes<float>(shape) + 4 * floats + 8 * doubles +
           kArrays * kernels::kArrayAlignment;
  }

  absl::Status BeginEpoch() override {
    pieces_ = 0;
    return kernels::OnDevice(device_, kPhase, [&](kernels::DeviceWork& work) -> absl::Status {
      work.GoOn();
      MENTOR_RETURN_IF_ERROR(work.Zero(h_));
      return work.Zero(c_);
    });
  }

  absl::Status Train(int64_t begin, int64_t end) override {
    MENTOR_CHECK(pieces_ < setup_.pieces);
    return kernels::OnDevice(device_, kPhase, [&](kernels::DeviceWork& work) {
      work.GoOn();
      const int64_t piece = pieces_++;
      return work.Run([&] {
        return engine_->TrainPiece(setup_.loss, weights_.data(), batch_, begin, end, h_.data(),
                                   c_.data(), sums_.data() + piece * groups_,
                                   norms_.data() + piece);
      });
    });
  }

  absl::StatusOr<std::vector<Piece>> EndEpoch() override {
    std::vector<kernels::OuterLossTerms> sums(sums_.size());
    std::vector<double> norms(norms_.size());
    MENTOR_RETURN_IF_ERROR(
        kernels::OnDevice(device_, kPhase, [&](kernels::DeviceWork& work) -> absl::Status {
          MENTOR_RETURN_IF_ERROR(work.ToHost(sums_, std::span<kernels::OuterLossTerms>(sums)));
          return work.ToHost(norms_, std::span<double>(norms));
        }));
    std::vector<Piece> pieces;
    for (int64_t i = 0; i < pieces_; ++i) {
      const auto first = sums.begin() + i * groups_;
      pieces.push_back({.groups = {first, first + groups_}, .grad_norm = norms[i]});
    }
    return pieces;
  }

  absl::Status Step(int64_t step) override {
    return kernels::OnDevice(device_, kPhase, [&](kernels::DeviceWork& work) {
      work.GoOn();
      return work.Run([&] {
        return engine_->ClipAndStep(setup_.adam, step, setup_.max_grad_norm, weights_.data(),
                                    m_.data(), v_.data());
      });
    });
  }

  absl::Status Read(Tensor weights, Tensor m, Tensor v) override {
    return kernels::OnDevice(device_, kPhase, [&](kernels::DeviceWork& work) -> absl::Status {
      for (const auto& [to, from] : {std::pair(&weights, &weights_), {&m, &m_}, {&v, &v_}}) {
        MENTOR_ASSIGN_OR_RETURN(const Tensor now, work.ToHost(*from, to->sizes()));
        to->copy_(now);
      }
      return absl::OkStatus();
    });
  }

 private:
  static constexpr auto kPhase = kernels::DevicePhase::kOuter;
  static constexpr int64_t kTerms = sizeof(kernels::OuterLossTerms) / sizeof(double);

  const kernels::Device device_;  // Its monitor outlives the lease.
  const kernels::DeviceLease lease_;
  const PieceTrainerSetup setup_;
  Engine engine_;
  kernels::DeviceArray<float> features_, cut_features_, later_features_, signals_, log_probs_,
      weights_, m_, v_, h_, c_;
  kernels::DeviceArray<double> advantages_, returns_;
  int64_t groups_ = 0, pieces_ = 0;                     // A piece's; pieces since the epoch began.
  kernels::DeviceArray<kernels::OuterLossTerms> sums_;  // [pieces, groups]
  kernels::DeviceArray<double> norms_;                  // [pieces]
  LstmBatch<float> batch_;
};

absl::StatusOr<kernels::DeviceLease> TakeMemory(const kernels::Device& device, int64_t bytes,
                                                const char* what, const char* remedy) {
  if (device.monitor == nullptr) return kernels::DeviceLease();
  return device.monitor->Take(static_cast<uint64_t>(bytes), what, remedy);
}

}  // namespace

int64_t LstmOnDevice::RunBytes(int64_t lifetimes, int64_t steps) const {
  // Features, noise, signals, log-densities and values of each step; states before and after. With
  // a second LSTM its features and h.
  const kernels::LstmSizes& sizes = plain.sizes;
  const int64_t later = sizes.both ? sizes.features + sizes.hidden : 0;
  const int64_t floats = lifetimes * (steps * (sizes.features + 4 + later) + 4 * sizes.hidden + 2) +
                         sizes.NumWeights();
  return LstmEngineBytes<float>({.sizes = sizes, .lifetimes = lifetimes}) + 4 * floats +
         kArrays * kernels::kArrayAlignment;
}

SignalOutputs LstmOnDevice::Run(const Tensor& weights, const Tensor& features, const Tensor& noise,
                                SignalState* state) const {
  const torch::NoGradGuard no_grad;
  const int64_t lifetimes = features.size(0), steps = features.size(1);
  const kernels::LstmSizes& sizes = plain.sizes;
  const Tensor forward = plain.Forward(features, steps),
               backward = sizes.both ? plain.Backward(features) : Tensor();
  SignalOutputs outputs;
  const auto run = [&](kernels::DeviceWork& work) -> absl::Status {
    kernels::DeviceArray<float> w, x, reversed, z, h, c, previous, signals, log_probs, values,
        later;
    for (const auto& [to, from] : {std::pair(&w, &weights),
                                   {&x, &forward},
                                   {&reversed, &backward},
                                   {&z, &noise},
                                   {&h, &state->recurrent[0]},
                                   {&c, &state->recurrent[1]},
                                   {&previous, &state->previous}}) {
      MENTOR_ASSIGN_OR_RETURN(*to, work.ToDevice<float>(*from));
    }
    MENTOR_ASSIGN_OR_RETURN(signals, work.Allocate<float>(lifetimes * steps));
    if (sizes.both) {
      MENTOR_ASSIGN_OR_RETURN(later, work.Allocate<float>(lifetimes * steps * sizes.hidden));
    }
    if (noise.defined()) {
      MENTOR_ASSIGN_OR_RETURN(log_probs, work.Allocate<float>(lifetimes * steps));
      MENTOR_ASSIGN_OR_RETURN(values, work.Allocate<float>(lifetimes * steps));
    }
    const LstmRun<float> run{.lifetimes = lifetimes,
                             .steps = steps,
                             .log_initial_std = log_initial_std,
                             .features = x.data(),
                             .noise = z.data(),
                             .later_features = reversed.data(),
                             .h = h.data(),
                             .c = c.data(),
                             .previous = previous.data(),
                             .signals = signals.data(),
                             .log_probs = log_probs.data(),
                             .values = values.data(),
                             .later = later.data()};
    Engine engine;
    MENTOR_RETURN_IF_ERROR(
        engine.Open({.sizes = sizes, .log_initial_std = log_initial_std, .lifetimes = lifetimes},
                    &work, /*pool=*/nullptr));
    MENTOR_RETURN_IF_ERROR(work.Run([&] { return engine->Act(w.data(), run); }));
    for (const auto& [to, from] : {std::pair(&outputs.signals, &signals),
                                   {&outputs.log_probs, &log_probs},
                                   {&outputs.values, &values}}) {
      MENTOR_ASSIGN_OR_RETURN(*to, work.ToHost(*from, {lifetimes, steps}));
    }
    for (const auto& [to, from] : {std::pair(&state->recurrent[0], &h),
                                   {&state->recurrent[1], &c},
                                   {&state->previous, &previous}}) {
      MENTOR_ASSIGN_OR_RETURN(*to, work.ToHost(*from, to->sizes()));
    }
    return absl::OkStatus();
  };
  const auto lease =
      TakeMemory(device, RunBytes(lifetimes, steps), "the signal network along a shard's steps",
                 "make rule.shard_lifetimes smaller, or take another device");
  const absl::Status status =
      lease.ok() ? kernels::OnDevice(device, kernels::DevicePhase::kSignal, run) : lease.status();
  // The class keeps the code where a status cannot pass (TorchError).
  TORCH_CHECK_WITH(OutOfMemoryError, !absl::IsResourceExhausted(status),
                   std::string(status.message()));
  TORCH_CHECK(status.ok(), status.ToString());
  return outputs;
}

namespace {

LstmEngineShape ShapeOf(const LstmOnDevice& network, const PieceTrainerSetup& setup,
                        int64_t lifetimes) {
  return {.sizes = network.plain.sizes,
          .log_initial_std = network.log_initial_std,
          .lifetimes = lifetimes,
          .piece_steps = setup.piece_steps,
          .group_lifetimes = setup.group_lifetimes,
          .whole_steps = network.looks_ahead};
}

}  // namespace

int64_t LstmOnDevice::TrainerBytes(const PieceTrainerSetup& setup, int64_t lifetimes,
                                   int64_t steps) const {
  return Trainer::Bytes(ShapeOf(*this, setup, lifetimes), setup.pieces, steps);
}

absl::StatusOr<std::unique_ptr<PieceTrainer>> LstmOnDevice::NewTrainer(
    const PieceTrainerSetup& setup, const PieceTrainerBatch& batch, const Tensor& weights,
    const Tensor& m, const Tensor& v) const {
  const LstmEngineShape shape = ShapeOf(*this, setup, batch.signals.size(0));
  const int64_t bytes = Trainer::Bytes(shape, setup.pieces, batch.signals.size(1));
  const auto take = [&] {
    return TakeMemory(device, bytes, "the outer update",
                      "make rule.lifetimes_per_update or rule.option.k smaller, or take another "
                      "device");
  };
  absl::StatusOr<kernels::DeviceLease> lease = take();
  // An error would throw away the shards of this update. The interrupt is also a pause point: the
  // work that has the memory goes on where both share a thread.
  while (absl::IsResourceExhausted(lease.status()) &&
         device.monitor->AwaitRoom(static_cast<uint64_t>(bytes), kRoomLook)) {
    MENTOR_RETURN_IF_ERROR(agents::CheckInterrupt());
    lease = take();
  }
  MENTOR_RETURN_IF_ERROR(lease.status());
  auto trainer = std::make_unique<Trainer>(*std::move(lease), device, setup);
  MENTOR_RETURN_IF_ERROR(
      kernels::OnDevice(device, kernels::DevicePhase::kOuter, [&](kernels::DeviceWork& work) {
        return trainer->Open(shape, plain, batch, weights, m, v, &work);
      }));
  return trainer;
}

}  // namespace mentor::signals
