// The meta-learned network, seen from both sides: the learner runs it along a lifetime, an outer
// rule trains it. A network is one file that implements SignalNetwork and registers a factory.
#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/options.h"
#include "common/rng.h"
#include "learner/agents/critic.h"
#include "learner/agents/param_layout.h"
#include "learner/agents/segment.h"
#include "learner/kernels/device.h"
#include "learner/signals/piece_gradient.h"
#include "learner/signals/piece_trainer.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::learner {

struct SignalContext {
  int64_t observation_size = 0;  // D
  int64_t action_size = 0;       // A
  v1::SignalRole role = v1::REWARD;
  v1::SignalInput input = v1::SUCCESS;
  int64_t episode_steps = 0;  // M
  // Each episode has exactly so many, and begins afresh.
  bool independent_episodes = true;
  int64_t steps_per_iteration = 0;  // T; 0: not known, as if lifetimes had one segment.
  bool discrete_actions = false;
  // Where kernels run, of networks that have some; all tensors are the host's.
  Device device = {};
};

// What the network sees of a task's outcome at each step (docs/algorithms/black_box.md#inputs,
// feature 4), each [S, T] in the dtype of the observations: three times the success signal, the
// shaped reward, or both in this order.
std::vector<torch::Tensor> OutcomeFeatures(const Segment& segment, v1::SignalInput input);
// [S, T]: the outcome that signal.input names, as a reward: both is their sum.
torch::Tensor TaskReward(const Segment& segment, v1::SignalInput input);
inline int64_t NumOutcomes(v1::SignalInput input) {
  return input == v1::SUCCESS_AND_SHAPED ? 2 : 1;
}

// What the network carries from step to step of S lifetimes. Begins as zeros.
struct SignalState {
  std::vector<torch::Tensor> recurrent;  // Network's own, each [S, ...].
  torch::Tensor previous;                // [S]: its own last output as used.
};

struct SignalOutputs {
  torch::Tensor signals;    // [S, T]
  torch::Tensor log_probs;  // [S, T]; undefined without noise
  torch::Tensor values;     // [S, T]; undefined without noise
};

// Differentiable quantities of a piece of recorded lifetimes.
struct SignalEvaluation {
  torch::Tensor log_probs;  // [N, t]: of the recorded signals
  torch::Tensor log_stds;   // [N, t]: ln sigma
  torch::Tensor values;     // [N, t]
  std::vector<torch::Tensor> final_recurrent;
};

// What a network attended to in one episode of a segment.
struct AttentionMap {
  std::string name;        // The layer, for instance "block 0, head 1".
  int64_t lifetime = 0;    // Which of the segment's,
  int64_t first_step = 0;  // and where in the segment the episode, or its part inside, begins.
  torch::Tensor weights;   // [t, t]: row i is step i's attention to the steps; rows sum to 1.
};

// What a learned loss sees of S agents' last N steps, rows oldest first. Policy outputs p are the
// mean and log-std of a Gaussian, 2 A numbers, or A probabilities.
struct LossInputs {
  torch::Tensor observations;  // [S, N, D]
  torch::Tensor actions;       // [S, N, A]: one-hot, or unclipped
  torch::Tensor rewards;       // [S, N]
  torch::Tensor dones;         // [S, N]: 1 where the episode ended with the step
  torch::Tensor policy;        // [S, N, p]: of the policy that is to learn, with its graph
  torch::Tensor context;       // [S, c]: numbers of the agent that only the loss reads
  torch::Tensor rows;          // [S, B] int64, of N: the steps whose mean the loss is
};

// What critics, and policies where `policy` is true, see behind the observation.
struct DiscountSight {
  DiscountInput discounts;
  bool policy = false;
};

struct LossSizes {
  int64_t steps = 0;    // N
  int64_t context = 0;  // c
};

// Immutable: weights are an argument [P], so one object serves all threads. What it can do beside
// Run, it declares: rules refuse a network that cannot do what they need.
class SignalNetwork {
 public:
  virtual ~SignalNetwork() = default;
  // Signals can be sampled and have a density and a value: Run takes noise, Features and Evaluate
  // work. Black-box rules need it.
  virtual bool has_density() const { return true; }
  // Signals are a differentiable function of the weights: Signals works. Gradient rules need it.
  virtual bool is_differentiable() const { return false; }
  // How many of the last weights a conditioned policy sees: eta of
  // docs/algorithms/response_gradient.md#conditional-layer-normalisation. 0: there is no such part.
  virtual int64_t conditioning_size() const { return 0; }
  // Reads Segment::values and last_values: the agents need a critic whatever the signal's role is.
  virtual bool needs_values() const { return false; }
  // Its output is a loss (role LOSS): Loss works with such inputs, and nothing that gives signals
  // does. Nothing: it gives signals.
  virtual std::optional<LossSizes> loss_sizes() const { return std::nullopt; }
  bool is_loss() const { return loss_sizes().has_value(); }
  // Steps that stand and fall together in training: pieces are cut at multiples of so many.
  virtual int64_t piece_unit() const { return 1; }
  // Of a network whose weights are gamma and lambda: what critic and policy see of them.
  virtual std::optional<DiscountSight> SightOf(const torch::Tensor& /*weights*/) const {
    return std::nullopt;
  }
  // Reads the outcome that SignalSpec.input names.
  virtual bool sees_outcome() const { return true; }
  virtual const ParamLayout& layout() const = 0;
  // [P] float32 from keyed normals (purpose kSignalWeights).
  virtual torch::Tensor InitialWeights(uint64_t seed) const = 0;
  // By default that of a network without memory.
  virtual SignalState InitialState(int64_t num_lifetimes, torch::Dtype dtype) const;

  // Runs along one segment, lock-step over S lifetimes, without gradients, and advances *state.
  // noise: [S, T] standard normals for sampled signals; undefined for means. By default that of a
  // network without density: its Signals.
  virtual SignalOutputs Run(const torch::Tensor& weights, const Segment& segment,
                            const torch::Tensor& noise, SignalState* state) const;

  // Mean signals [S, T] of one segment with their graph back to `weights` (any floating dtype),
  // from *state, which is advanced without a graph.
  virtual torch::Tensor Signals(const torch::Tensor& weights, const Segment& segment,
                                SignalState* state) const;

  // [S]: the loss of each agent by its own row of weights [S, P], differentiable in policy and
  // context.
  virtual torch::Tensor Loss(const torch::Tensor& weights, const LossInputs& inputs) const;

  // A bound of the numbers that Run holds for each step beside its input; with a graph, Signals. By
  // default from the widths of the layers.
  virtual int64_t NumbersPerStep(bool graph) const;

  // The memory that kernels take of a device: for Run along the steps of so many lifetimes, and for
  // a trainer of them. 0, as by default: there are no such kernels.
  virtual int64_t RunDeviceBytes(int64_t lifetimes, int64_t steps) const;
  virtual int64_t TrainerDeviceBytes(const PieceTrainerSetup& setup, int64_t lifetimes,
                                     int64_t steps) const;

  // For people: where the network looked while it gave the signals of a segment, which begins in
  // `state`. Nothing by default.
  virtual std::vector<AttentionMap> Explain(const torch::Tensor& weights, const Segment& segment,
                                            const SignalState& state) const;

  // The network's input [N, t, features] for a recorded piece; `previous` is [N, t]: the signal
  // used one step before.
  virtual torch::Tensor Features(const Segment& segment, const torch::Tensor& previous) const;
  // Runs a piece with recorded inputs and signals, differentiable in `weights`, from detached
  // `recurrent`, which a network whose features hold all of it hands on as it is.
  virtual SignalEvaluation Evaluate(const torch::Tensor& weights, const torch::Tensor& features,
                                    const torch::Tensor& signals,
                                    const std::vector<torch::Tensor>& recurrent) const;
  // Gradients at these weights [P], for as many pieces as one likes; outputs are signals [N, t]. By
  // default from Evaluate. The network outlives it.
  virtual PieceGradient GradientAt(const torch::Tensor& weights) const;
  // Trains from these weights and moments [P] float32 on the context's device. Null, as by default:
  // the caller takes GradientAt.
  virtual absl::StatusOr<std::unique_ptr<PieceTrainer>> NewTrainer(const PieceTrainerSetup& setup,
                                                                   const PieceTrainerBatch& batch,
                                                                   const torch::Tensor& weights,
                                                                   const torch::Tensor& m,
                                                                   const torch::Tensor& v) const;
};

struct SignalEntry {
  std::string name;
  std::string summary;
  OptionTable options;
  std::function<std::unique_ptr<SignalNetwork>(const SignalContext&, const OptionValues&)> make;
  // What no single option shows, as violations under "signal."; called before make. Null: nothing.
  std::function<void(const SignalContext&, const OptionValues&, Violations*)> check = nullptr;
};

const std::vector<const SignalEntry*>& SignalNetworks();
// Null, with violations under "signal.", when the spec does not fit.
std::unique_ptr<SignalNetwork> MakeSignalNetwork(const v1::SignalSpec& spec,
                                                 const SignalContext& context,
                                                 Violations* violations);

struct RegisterSignal {
  explicit RegisterSignal(SignalEntry entry);
};

}  // namespace mentor::learner
