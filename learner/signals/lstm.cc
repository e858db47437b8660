// The signal network of Pappalardo, Ramele and Santos (docs/algorithms/black_box.md#the-network):
// two encoders, one LSTM, heads for the mean, the logarithm of the standard deviation and the
// value. On the CPU by own kernels (lstm_run, lstm_piece), elsewhere in plain LibTorch.
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <cmath>
#include <memory>

#include "common/check.h"
#include "common/exact_math.h"
#include "common/mutex.h"
#include "learner/kernels/lstm_weights.h"
#include "learner/signals/lstm_piece.h"
#include "learner/signals/lstm_plain.h"
#include "learner/signals/lstm_run.h"
#include "learner/signals/plain_layers.h"
#include "learner/signals/signal_network.h"

namespace mentor::learner {
namespace {

using torch::Tensor;

// Used pieces, kept with their memory. Thread-safe.
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

// A piece between its forward and its backward pass, held by the graph.
template <typename T>
struct Lease : torch::CustomClassHolder {
  Lease(std::shared_ptr<PiecePool<T>> pool) : pool(std::move(pool)), piece(this->pool->Take()) {}
  ~Lease() override { pool->Return(std::move(piece)); }
  std::shared_ptr<PiecePool<T>> pool;
  std::unique_ptr<LstmPiece<T>> piece;
  bool used_up = false;
};

// features [N, t, F], signals [N, t], recurrent [N, H]: contiguous, of type T. Returns log_probs,
// log_stds, values [N, t], h, c.
template <typename T>
std::vector<Tensor> ForwardPiece(LstmPiece<T>* piece, const LstmSizes& sizes,
                                 double log_initial_std, const Tensor& weights,
                                 const Tensor& features, const Tensor& signals, const Tensor& h,
                                 const Tensor& c) {
  const int64_t lifetimes = features.size(0), steps = features.size(1);
  const Tensor step_features = features.transpose(0, 1).contiguous();
  const Tensor step_signals = signals.transpose(0, 1).contiguous();
  const Tensor h_in = h.contiguous(), c_in = c.contiguous();
  const LstmForwardWeights<T> packed(sizes, weights.const_data_ptr<T>());
  piece->Forward(packed, log_initial_std, lifetimes, steps, step_features.const_data_ptr<T>(),
                 step_signals.const_data_ptr<T>(), h_in.const_data_ptr<T>(),
                 c_in.const_data_ptr<T>());
  std::vector<Tensor> outputs;
  for (const T* rows : {piece->log_probs(), piece->log_stds(), piece->values()}) {
    Tensor output = torch::empty({lifetimes, steps}, weights.options());
    T* to = output.template mutable_data_ptr<T>();
    for (int64_t t = 0; t < steps; ++t) {
      for (int64_t l = 0; l < lifetimes; ++l) to[l * steps + t] = rows[t * lifetimes + l];
    }
    outputs.push_back(output);
  }
  Tensor h_out = torch::empty_like(h_in), c_out = torch::empty_like(c_in);
  piece->CopyFinalState(h_out.mutable_data_ptr<T>(), c_out.mutable_data_ptr<T>());
  outputs.push_back(h_out);
  outputs.push_back(c_out);
  return outputs;
}

// The hand-written gradient of a piece as one node of LibTorch's graph.
template <typename T>
class EvaluatePiece : public torch::autograd::Function<EvaluatePiece<T>> {
 public:
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context,
                                                const Tensor& weights, const Tensor& features,
                                                const Tensor& signals, const Tensor& h,
                                                const Tensor& c, const LstmSizes& sizes,
                                                double log_initial_std,
                                                const std::shared_ptr<PiecePool<T>>& pool) {
    auto lease = c10::make_intrusive<Lease<T>>(pool);
    auto outputs = ForwardPiece<T>(lease->piece.get(), sizes, log_initial_std, weights, features,
                                   signals, h, c);
    context->save_for_backward({weights});
    context->saved_data["piece"] = c10::IValue::make_capsule(std::move(lease));
    context->mark_non_differentiable({outputs[3], outputs[4]});
    return outputs;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const Tensor weights = context->get_saved_variables()[0];
    auto lease =
        c10::static_intrusive_pointer_cast<Lease<T>>(context->saved_data["piece"].toCapsule());
    TORCH_CHECK(!lease->used_up,
                "the gradient of a signal network's piece can be taken once; evaluate it again");
    lease->used_up = true;
    std::vector<Tensor> steps;
    for (int i = 0; i < 3; ++i)
      steps.push_back(gradients[i].transpose(0, 1).to(weights.scalar_type()).contiguous());
    Tensor gradient = torch::zeros_like(weights);
    lease->piece->Backward(weights.const_data_ptr<T>(), steps[0].const_data_ptr<T>(),
                           steps[1].const_data_ptr<T>(), steps[2].const_data_ptr<T>(),
                           gradient.mutable_data_ptr<T>());
    torch::autograd::variable_list all(8);
    all[0] = gradient;
    return all;
  }
};

class LstmNetwork : public SignalNetwork {
 public:
  LstmNetwork(const SignalContext& context, const OptionValues& options) : input_(context.input) {
    LstmSizes& sizes = plain_.sizes;
    sizes.side = 3 + NumOutcomes(context.input);
    sizes.features = context.observation_size + context.action_size + sizes.side;
    sizes.enc1 = options.Integer("enc1");
    sizes.enc2 = options.Integer("enc2");
    sizes.hidden = options.Integer("lstm");
    sizes.heads = options.Integer("heads");
    sizes.critic = options.Integer("critic");
    plain_.layout = ParamLayout(sizes.Parameters());
    plain_.initial_std = options.Number("initial_std");
    log_initial_std_ = exact::Log(plain_.initial_std);
  }

  bool is_differentiable() const override { return true; }
  const ParamLayout& layout() const override { return plain_.layout; }

  // Run works on one step at a time.
  int64_t NumbersPerStep(bool graph) const override {
    return graph ? SignalNetwork::NumbersPerStep(graph) : 0;
  }

  Tensor InitialWeights(uint64_t seed) const override {
    return OrthogonalWeights(layout(), seed, [](const std::string& name) {
      if (name.starts_with("lstm.") || name == "critic.W2") return 1.0;
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

  SignalOutputs Run(const Tensor& weights, const Segment& segment, const Tensor& noise,
                    SignalState* state) const override {
    const torch::NoGradGuard no_grad;
    const Tensor features =
        Features(segment, torch::zeros_like(segment.log_probs)).to(weights.options()).contiguous();
    if (!weights.is_cpu()) {
      for (Tensor& x : state->recurrent) x = x.to(weights.options());
      state->previous = state->previous.to(weights.options());
      return plain_.Run(weights, features, noise.defined() ? noise.to(weights.options()) : noise,
                        state);
    }
    return weights.scalar_type() == torch::kFloat64 ? RunOf<double>(weights, features, noise, state)
                                                    : RunOf<float>(weights, features, noise, state);
  }

  // Through all steps of the segment; the own kernels have no such gradient.
  Tensor Signals(const Tensor& weights, const Segment& segment, SignalState* state) const override {
    for (Tensor& x : state->recurrent) x = x.to(weights.options());
    state->previous = state->previous.to(weights.options());
    const Tensor features = Features(segment, torch::zeros_like(segment.log_probs));
    return plain_.Run(weights, features.to(weights.options()), /*noise=*/{}, state).signals;
  }

  Tensor Features(const Segment& segment, const Tensor& previous) const override {
    const torch::NoGradGuard no_grad;
    const Tensor& obs = segment.observations;
    std::vector<Tensor> side = {Density(segment.log_probs)};
    for (const Tensor& outcome : OutcomeFeatures(segment, input_)) side.push_back(outcome);
    side.insert(side.end(), {2 * segment.prev_done, previous});
    return torch::cat({obs, segment.actions, torch::stack(side, /*dim=*/-1).to(obs.scalar_type())},
                      /*dim=*/-1);
  }

  SignalEvaluation Evaluate(const Tensor& weights, const Tensor& features, const Tensor& signals,
                            const std::vector<Tensor>& recurrent) const override {
    MENTOR_CHECK(features.dim() == 3 && features.size(2) == plain_.sizes.features);
    MENTOR_CHECK(weights.numel() == layout().size() && recurrent.size() == 2);
    if (!weights.is_cpu()) return plain_.Evaluate(weights, features, signals, recurrent);
    return weights.scalar_type() == torch::kFloat64
               ? EvaluateOf<double>(pool_f64_, weights, features, signals, recurrent)
               : EvaluateOf<float>(pool_f32_, weights, features, signals, recurrent);
  }

 private:
  // e^log_probs, with the same bits on every machine.
  static Tensor Density(const Tensor& log_probs) {
    if (!log_probs.is_cpu()) return log_probs.exp();
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
    Tensor h = state->recurrent[0].to(options).clone(at::MemoryFormat::Contiguous);
    Tensor c = state->recurrent[1].to(options).clone(at::MemoryFormat::Contiguous);
    Tensor previous = state->previous.to(options).clone(at::MemoryFormat::Contiguous);
    SignalOutputs outputs{
        .signals = torch::empty({lifetimes, steps}, options), .log_probs = {}, .values = {}};
    LstmRun<T> run{.lifetimes = lifetimes,
                   .steps = steps,
                   .log_initial_std = log_initial_std_,
                   .features = features.const_data_ptr<T>(),
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
    RunLstm(LstmForwardWeights<T>(plain_.sizes, flat.const_data_ptr<T>()), run);
    *state = {{h, c}, previous};
    return outputs;
  }

  template <typename T>
  SignalEvaluation EvaluateOf(const std::shared_ptr<PiecePool<T>>& pool, const Tensor& weights,
                              const Tensor& features, const Tensor& signals,
                              const std::vector<Tensor>& recurrent) const {
    const auto dtype = weights.scalar_type();
    const Tensor flat = weights.contiguous(), x = features.to(dtype), y = signals.to(dtype);
    const Tensor h = recurrent[0].to(dtype), c = recurrent[1].to(dtype);
    std::vector<Tensor> outputs;
    if (at::GradMode::is_enabled() && weights.requires_grad()) {
      outputs = EvaluatePiece<T>::apply(flat, x, y, h, c, plain_.sizes, log_initial_std_, pool);
    } else {
      const Lease<T> lease(pool);
      outputs =
          ForwardPiece<T>(lease.piece.get(), plain_.sizes, log_initial_std_, flat, x, y, h, c);
    }
    return {.log_probs = outputs[0],
            .log_stds = outputs[1],
            .values = outputs[2],
            .final_recurrent = {outputs[3], outputs[4]}};
  }

  const v1::SignalInput input_;
  LstmPlain plain_;
  double log_initial_std_ = 0;
  const std::shared_ptr<PiecePool<float>> pool_f32_ = std::make_shared<PiecePool<float>>();
  const std::shared_ptr<PiecePool<double>> pool_f64_ = std::make_shared<PiecePool<double>>();
};

const RegisterSignal kLstm({
    .name = "lstm",
    .summary = "LSTM with two encoders and separate heads (Pappalardo, Ramele and Santos)",
    .options =
        {UnitsOption("enc1", "124", 1,
                     "Units of the first encoder, to which the side inputs are appended."),
         UnitsOption("enc2", "28", 1,
                     "Units of the second encoder, to which the side inputs are appended."),
         UnitsOption("lstm", "128", 1, "Units of the LSTM."),
         UnitsOption("heads", "128", 1,
                     "Units of each hidden layer of the mean and standard deviation heads."),
         UnitsOption("critic", "512", 1, "Units of the value head's hidden layer."),
         NumberOption(
             "initial_std", "0.2", 1e-6, 1e3,
             "Standard deviation at birth: 0.2 suits the reward role, 1.0 the advantage role.")},
    .make = [](const SignalContext& context,
               const OptionValues& options) -> std::unique_ptr<SignalNetwork> {
      return std::make_unique<LstmNetwork>(context, options);
    },
});

}  // namespace
}  // namespace mentor::learner
