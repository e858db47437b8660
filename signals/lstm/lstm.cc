// The signal network of Pappalardo, Ramele and Santos (methods/black_box/README.md#the-network):
// two encoders, one LSTM, heads for the mean, the logarithm of the standard deviation and the
// value. Own kernels compute it: on the CPU (lstm_run, lstm_piece) or on a device (lstm_device).
// `lstm_both` has a second LSTM that runs backward (methods/black_box/README.md#lstm_both).
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <cmath>
#include <memory>

#include <absl/strings/match.h>

#include "common/check.h"
#include "common/exact_math.h"
#include "common/mutex.h"
#include "kernels/lstm_weights.h"
#include "signals/lstm/lstm_device.h"
#include "signals/lstm/lstm_piece.h"
#include "signals/lstm/lstm_plain.h"
#include "signals/lstm/lstm_run.h"
#include "signals/plain_layers.h"
#include "signals/signal_network.h"

namespace mentor::signals::lstm {
namespace {

using torch::Tensor;

// Free pieces with their memory. Thread-safe.
template <typename T>
class PiecePool {
 public:
  std::unique_ptr<LstmPiece<T>> Take() {
    const MutexLock lock(mutex_);
    if (free_.empty()) return std::make_unique<LstmPiece<T>>();
    auto piece = std::move(free_.back());
    free_.pop_back();
    return piece;
  }
  void Return(std::unique_ptr<LstmPiece<T>> piece) {
    const MutexLock lock(mutex_);
    free_.push_back(std::move(piece));
  }

 private:
  Mutex mutex_;
  std::vector<std::unique_ptr<LstmPiece<T>>> free_ ABSL_GUARDED_BY(mutex_);
};

// A piece from the pool, for the life of this object.
template <typename T>
class Lease {
 public:
  explicit Lease(PiecePool<T>* pool) : pool_(pool), piece_(pool->Take()) {}
  ~Lease() { pool_->Return(std::move(piece_)); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  LstmPiece<T>* operator->() const { return piece_.get(); }

 private:
  PiecePool<T>* pool_;
  std::unique_ptr<LstmPiece<T>> piece_;
};

// The gradients of pieces at weights [P] of type T.
template <typename T>
class LstmGradient {
 public:
  LstmGradient(const LstmPlain& plain, double log_initial_std, const Tensor& weights,
               std::shared_ptr<PiecePool<T>> pool)
      : plain_(plain),
        weights_(std::make_shared<const LstmTrainingWeights<T>>(
            plain.sizes, weights.contiguous().const_data_ptr<T>())),
        options_(weights.detach().options()),
        log_initial_std_(log_initial_std),
        pool_(std::move(pool)) {}

  // A PieceGradient; with a null gradient, only the forward pass.
  std::vector<Tensor> operator()(const Tensor& features, const Tensor& signals,
                                 const std::vector<Tensor>& recurrent, LossOfStep loss,
                                 Tensor* gradient) const {
    const torch::NoGradGuard no_grad;
    const auto dense = [&](const Tensor& x) { return x.to(options_).contiguous(); };
    const int64_t steps = signals.size(1);
    const Tensor step_features = dense(plain_.Forward(features, steps).transpose(0, 1)),
                 later_features = plain_.sizes.both
                                      ? dense(plain_.Backward(features).transpose(0, 1))
                                      : Tensor(),
                 step_signals = dense(signals.transpose(0, 1)), h = dense(recurrent[0]),
                 c = dense(recurrent[1]);
    if (gradient != nullptr)
      *gradient = torch::zeros({static_cast<int64_t>(weights_->flat.size())}, options_);
    const Lease<T> piece(pool_.get());
    piece->Run(
        *weights_,
        {.lifetimes = features.size(0),
         .steps = steps,
         .log_initial_std = log_initial_std_,
         .features = step_features.const_data_ptr<T>(),
         .signals = step_signals.const_data_ptr<T>(),
         .later_steps = features.size(1) - steps,
         .later_features = later_features.defined() ? later_features.const_data_ptr<T>() : nullptr,
         .h = h.const_data_ptr<T>(),
         .c = c.const_data_ptr<T>()},
        loss, gradient != nullptr ? gradient->mutable_data_ptr<T>() : nullptr);
    Tensor h_out = torch::empty_like(h), c_out = torch::empty_like(c);
    piece->CopyFinalState(h_out.mutable_data_ptr<T>(), c_out.mutable_data_ptr<T>());
    return {h_out, c_out};
  }

  torch::TensorOptions options() const { return options_; }

 private:
  LstmPlain plain_;
  std::shared_ptr<const LstmTrainingWeights<T>> weights_;
  torch::TensorOptions options_;
  double log_initial_std_;
  std::shared_ptr<PiecePool<T>> pool_;
};

// A piece as one node of LibTorch's graph, for losses that LibTorch knows. The backward pass runs
// the piece again, with a loss that is linear in the piece's outputs.
template <typename T>
class EvaluateNode : public torch::autograd::Function<EvaluateNode<T>> {
 public:
  // Returns log_probs, log_stds, values [N, t], h, c.
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context,
                                                const Tensor& weights, const Tensor& features,
                                                const Tensor& signals, const Tensor& h,
                                                const Tensor& c, const LstmGradient<T>& at) {
    Tensor outputs = torch::empty({3, signals.size(0), signals.size(1)}, at.options());
    auto out = outputs.template accessor<T, 3>();
    const std::vector<Tensor> state = at(
        features, signals, {h, c},
        [&](int64_t lifetime, int64_t step, const kernels::StepTerms& now) -> kernels::StepTerms {
          out[0][lifetime][step] = T(now.log_prob);
          out[1][lifetime][step] = T(now.entropy - kernels::kEntropyOfUnitNormal);
          out[2][lifetime][step] = T(now.value);
          return {};
        },
        /*gradient=*/nullptr);
    context->save_for_backward({features, signals, h, c});
    context->saved_data["at"] = c10::IValue::make_capsule(c10::make_intrusive<Holder>(at));
    context->mark_non_differentiable({state[0], state[1]});
    return {outputs[0].clone(), outputs[1].clone(), outputs[2].clone(), state[0], state[1]};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto holder =
        c10::static_intrusive_pointer_cast<Holder>(context->saved_data["at"].toCapsule());
    std::vector<Tensor> of;
    for (int i = 0; i < 3; ++i) of.push_back(gradients[i].to(torch::kFloat64).contiguous());
    const int64_t steps = saved[1].size(1);
    torch::autograd::variable_list all(6);
    holder->at(
        saved[0], saved[1], {saved[2], saved[3]},
        [&](int64_t lifetime, int64_t step, const kernels::StepTerms&) -> kernels::StepTerms {
          const int64_t i = lifetime * steps + step;
          return {.log_prob = of[0].const_data_ptr<double>()[i],
                  .entropy = of[1].const_data_ptr<double>()[i],
                  .value = of[2].const_data_ptr<double>()[i]};
        },
        &all[0]);
    return all;
  }

 private:
  struct Holder : torch::CustomClassHolder {
    explicit Holder(const LstmGradient<T>& at) : at(at) {}
    const LstmGradient<T> at;
  };
};

const auto kOptions = Bind<LstmPlain>(
    {{In(&LstmPlain::sizes, &kernels::LstmSizes::enc1), "enc1", "124", 1, kUnitsMax,
      "Units of the first encoder, to which the side inputs are appended."},
     {In(&LstmPlain::sizes, &kernels::LstmSizes::enc2), "enc2", "28", 1, kUnitsMax,
      "Units of the second encoder, to which the side inputs are appended."},
     {In(&LstmPlain::sizes, &kernels::LstmSizes::hidden), "lstm", "128", 1, kUnitsMax,
      "Units of an LSTM."},
     {In(&LstmPlain::sizes, &kernels::LstmSizes::heads), "heads", "128", 1, kUnitsMax,
      "Units of each hidden layer of the mean and standard deviation heads."},
     {In(&LstmPlain::sizes, &kernels::LstmSizes::critic), "critic", "512", 1, kUnitsMax,
      "Units of the value head's hidden layer."},
     {&LstmPlain::initial_std, "initial_std", "0.2", 1e-6, 1e3,
      "Standard deviation at birth: 0.2 suits the reward role, 1.0 the advantage role."},
     {&LstmPlain::normalises, kNormalizeObservations, false, kNormalizeObservationsHelp}});

class LstmNetwork : public SignalNetwork, public SignalGradient, public SignalDensity {
 public:
  LstmNetwork(const SignalContext& context, const OptionValues& options, bool both)
      : input_(context.input),
        device_(context.device),
        whole_steps_(StepsSeenWhole(context)),
        segment_steps_(context.steps_per_iteration),
        plain_(kOptions.Read(options)) {
    kernels::LstmSizes& sizes = plain_.sizes;
    sizes.both = both;
    sizes.side = 3 + NumOutcomes(context.input);
    sizes.features = context.observation_size + context.action_size + sizes.side;
    plain_.layout = agents::ParamLayout(sizes.Parameters());
    log_initial_std_ = exact::Log(plain_.initial_std);
  }

  const SignalGradient* gradient() const override { return this; }
  const SignalDensity* density() const override { return this; }
  bool sees_normalised() const override { return plain_.normalises; }
  const agents::ParamLayout& layout() const override { return plain_.layout; }

  int64_t looks_ahead() const override { return plain_.sizes.both ? whole_steps_ : 1; }

  // Run works on one step at a time. The LSTM that runs backward goes first: its inputs, which are
  // copied twice, and its h.
  int64_t NumbersPerStep(bool graph) const override {
    if (graph) return SignalNetwork::NumbersPerStep(graph);
    const kernels::LstmSizes& sizes = plain_.sizes;
    return sizes.both ? sizes.hidden + 3 * sizes.features : 0;
  }

  int64_t RunDeviceBytes(int64_t lifetimes, int64_t steps) const override {
    return Elsewhere().RunBytes(lifetimes, steps);
  }
  int64_t TrainerDeviceBytes(const PieceTrainerSetup& setup, int64_t lifetimes,
                             int64_t steps) const override {
    return Elsewhere().TrainerBytes(setup, lifetimes, steps);
  }

  Tensor InitialWeights(uint64_t seed) const override {
    return OrthogonalWeights(layout(), seed, [](const std::string& name) {
      if (absl::StrContains(name, "lstm.") || name == "critic.W2") return 1.0;
      if (name == "mean.W3" || name == "logstd.W2") return 0.01;
      return std::sqrt(2.0);
    });
  }

  SignalState InitialState(int64_t num_lifetimes, torch::Dtype dtype) const override {
    const auto zeros = [&](at::IntArrayRef shape) { return torch::zeros(shape, dtype); };
    const int64_t hidden = plain_.sizes.hidden;
    return {{zeros({num_lifetimes, hidden}), zeros({num_lifetimes, hidden})},
            zeros({num_lifetimes})};
  }

  SignalOutputs Run(const Tensor& weights, const agents::Segment& segment, const Tensor& noise,
                    SignalState* state) const override {
    const torch::NoGradGuard no_grad;
    const Tensor features = SegmentFeatures(segment).to(weights.options()).contiguous();
    if (OnDevice(weights)) return Elsewhere().Run(weights, features, noise, state);
    return weights.scalar_type() == torch::kFloat64 ? RunOf<double>(weights, features, noise, state)
                                                    : RunOf<float>(weights, features, noise, state);
  }

  // Goes through all steps of the segment; the own kernels have no such gradient.
  Tensor Signals(const Tensor& weights, const agents::Segment& segment,
                 SignalState* state) const override {
    for (Tensor& x : state->recurrent) x = x.to(weights.options());
    state->previous = state->previous.to(weights.options());
    const Tensor features = SegmentFeatures(segment);
    return plain_.Run(weights, features.to(weights.options()), /*noise=*/{}, state).signals;
  }

  Tensor Features(const agents::Segment& lifetimes, const Tensor& previous) const override {
    return FeaturesOf(lifetimes, previous, segment_steps_);
  }

  SignalEvaluation Evaluate(const Tensor& weights, const Tensor& features, const Tensor& signals,
                            const std::vector<Tensor>& recurrent) const override {
    CheckPiece(weights, features, recurrent);
    return weights.scalar_type() == torch::kFloat64
               ? EvaluateOf<double>(pool_f64_, weights, features, signals, recurrent)
               : EvaluateOf<float>(pool_f32_, weights, features, signals, recurrent);
  }

  PieceGradient GradientAt(const Tensor& weights) const override {
    MENTOR_CHECK(weights.numel() == layout().size());
    if (weights.scalar_type() == torch::kFloat64)
      return LstmGradient<double>(plain_, log_initial_std_, weights, pool_f64_);
    return LstmGradient<float>(plain_, log_initial_std_, weights, pool_f32_);
  }

  absl::StatusOr<std::unique_ptr<PieceTrainer>> NewTrainer(const PieceTrainerSetup& setup,
                                                           const PieceTrainerBatch& batch,
                                                           const Tensor& weights, const Tensor& m,
                                                           const Tensor& v) const override {
    if (!OnDevice(weights)) return nullptr;
    return Elsewhere().NewTrainer(setup, batch, weights, m, v);
  }

 private:
  // Doubles serve tests, which have no device.
  bool OnDevice(const Tensor& weights) const {
    return device_.kind != kernels::DeviceKind::kCpu && weights.scalar_type() == torch::kFloat32;
  }
  LstmOnDevice Elsewhere() const { return {plain_, log_initial_std_, looks_ahead(), device_}; }

  // The inputs of whole segments, of `segment_steps` steps each; 0: one segment.
  Tensor FeaturesOf(const agents::Segment& segment, const Tensor& previous,
                    int64_t segment_steps) const {
    const torch::NoGradGuard no_grad;
    const Tensor& obs = segment.observations;
    std::vector<Tensor> side = {Density(segment.log_probs)};
    for (const Tensor& outcome : OutcomeFeatures(segment, input_)) side.push_back(outcome);
    side.insert(side.end(), {2 * segment.prev_done, previous});
    if (plain_.sizes.both) side.push_back(BeginsAnew(segment.prev_done, segment_steps));
    return torch::cat({obs, segment.actions, torch::stack(side, /*dim=*/-1).to(obs.scalar_type())},
                      /*dim=*/-1);
  }
  Tensor SegmentFeatures(const agents::Segment& segment) const {
    return FeaturesOf(segment, torch::zeros_like(segment.log_probs), /*segment_steps=*/0);
  }
  // [S, T]: 2 at the last step of each episode and of each segment.
  static Tensor BeginsAnew(const Tensor& prev_done, int64_t segment_steps) {
    const int64_t steps = prev_done.size(1), of_segment = segment_steps > 0 ? segment_steps : steps;
    Tensor ends = torch::zeros_like(prev_done);
    ends.narrow(1, 0, steps - 1).copy_(2 * prev_done.narrow(1, 1, steps - 1));
    for (int64_t end = of_segment; end < steps; end += of_segment) ends.select(1, end - 1).fill_(2);
    ends.select(1, steps - 1).fill_(2);
    return ends;
  }

  // e^log_probs, with the same bits on every machine.
  static Tensor Density(const Tensor& log_probs) {
    Tensor density =
        log_probs.to(torch::kFloat64, /*non_blocking=*/false, /*copy=*/true).contiguous();
    double* x = density.mutable_data_ptr<double>();
    for (int64_t i = 0; i < density.numel(); ++i) x[i] = exact::Exp(x[i]);
    return density.to(log_probs.scalar_type());
  }

  template <typename T>
  SignalOutputs RunOf(const Tensor& weights, const Tensor& features, const Tensor& noise,
                      SignalState* state) const {
    const int64_t lifetimes = features.size(0), steps = features.size(1);
    const auto options = weights.options();
    const Tensor flat = weights.contiguous();
    const Tensor noise_st = noise.defined() ? noise.to(options).contiguous() : Tensor();
    const Tensor forward = plain_.Forward(features, steps).contiguous();
    Tensor h = state->recurrent[0].to(options).clone(at::MemoryFormat::Contiguous);
    Tensor c = state->recurrent[1].to(options).clone(at::MemoryFormat::Contiguous);
    Tensor previous = state->previous.to(options).clone(at::MemoryFormat::Contiguous);
    SignalOutputs outputs{
        .signals = torch::empty({lifetimes, steps}, options), .log_probs = {}, .values = {}};
    LstmRun<T> run{.lifetimes = lifetimes,
                   .steps = steps,
                   .log_initial_std = log_initial_std_,
                   .features = forward.const_data_ptr<T>(),
                   .h = h.mutable_data_ptr<T>(),
                   .c = c.mutable_data_ptr<T>(),
                   .previous = previous.mutable_data_ptr<T>(),
                   .signals = outputs.signals.mutable_data_ptr<T>()};
    if (noise.defined()) {
      outputs.log_probs = torch::empty({lifetimes, steps}, options);
      outputs.values = torch::empty({lifetimes, steps}, options);
      run.noise = noise_st.const_data_ptr<T>();
      run.log_probs = outputs.log_probs.mutable_data_ptr<T>();
      run.values = outputs.values.mutable_data_ptr<T>();
    }
    Tensor reversed, later;
    if (plain_.sizes.both) {
      reversed = plain_.Backward(features).contiguous();
      later = torch::empty({lifetimes, steps, plain_.sizes.hidden}, options);
      run.later_features = reversed.const_data_ptr<T>();
      run.later = later.mutable_data_ptr<T>();
    }
    RunLstm(kernels::LstmForwardWeights<T>(plain_.sizes, flat.const_data_ptr<T>()), run);
    *state = {{h, c}, previous};
    return outputs;
  }

  void CheckPiece(const Tensor& weights, const Tensor& features,
                  const std::vector<Tensor>& recurrent) const {
    MENTOR_CHECK(features.dim() == 3 && features.size(2) == plain_.recorded());
    MENTOR_CHECK(weights.numel() == layout().size() && recurrent.size() == 2);
  }

  template <typename T>
  SignalEvaluation EvaluateOf(const std::shared_ptr<PiecePool<T>>& pool, const Tensor& weights,
                              const Tensor& features, const Tensor& signals,
                              const std::vector<Tensor>& recurrent) const {
    const LstmGradient<T> at(plain_, log_initial_std_, weights, pool);
    const auto outputs =
        EvaluateNode<T>::apply(weights, features, signals, recurrent[0], recurrent[1], at);
    return {.log_probs = outputs[0],
            .log_stds = outputs[1],
            .values = outputs[2],
            .final_recurrent = {outputs[3], outputs[4]}};
  }

  const v1::SignalInput input_;
  const kernels::Device device_;
  const int64_t whole_steps_, segment_steps_;
  LstmPlain plain_;
  double log_initial_std_ = 0;
  const std::shared_ptr<PiecePool<float>> pool_f32_ = std::make_shared<PiecePool<float>>();
  const std::shared_ptr<PiecePool<double>> pool_f64_ = std::make_shared<PiecePool<double>>();
};

std::vector<SignalColumn> Columns(const SignalContext& context) {
  std::vector<SignalColumn> columns = StepColumns(context);
  columns.push_back({.name = "log_probs", .how = "its exponential, the action's density"});
  AddOutcomeColumns(context.input, "times 3", "", &columns);
  columns.push_back({.name = "prev_done", .how = "times 2"});
  columns.push_back({.name = "previous", .how = "the network's own last output"});
  return columns;
}

const RegisterSignal kLstm({
    .name = "lstm",
    .summary = "LSTM with two encoders and separate heads (Pappalardo, Ramele and Santos)",
    .options = kOptions.table(),
    .make = [](const SignalContext& context,
               const OptionValues& options) -> std::unique_ptr<SignalNetwork> {
      return std::make_unique<LstmNetwork>(context, options, /*both=*/false);
    },
    .columns = [](const SignalContext& context, const OptionValues&) { return Columns(context); },
});

const RegisterSignal kLstmBoth({
    .name = "lstm_both",
    .summary = "The network lstm, and a second LSTM that runs backward from the episode's end",
    .options = kOptions.table(),
    .make = [](const SignalContext& context,
               const OptionValues& options) -> std::unique_ptr<SignalNetwork> {
      return std::make_unique<LstmNetwork>(context, options, /*both=*/true);
    },
    .columns =
        [](const SignalContext& context, const OptionValues&) {
          std::vector<SignalColumn> columns = Columns(context);
          columns.back().how +=
              "; for the LSTM that runs backward 2 at the last step of each episode and of the "
              "segment, else 0";
          return columns;
        },
});

}  // namespace
}  // namespace mentor::signals::lstm
