// The meta-learned network: the learner runs it along a lifetime, an outer rule trains it. A
// network is one file that implements SignalNetwork and registers a factory.
#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agents/param_layout.h"
#include "agents/segment.h"
#include "common/options.h"
#include "common/registry.h"
#include "common/rng.h"
#include "kernels/device.h"
#include "mentor/v1/spec.pb.h"
#include "signals/piece_gradient.h"

namespace mentor::signals {

struct SignalContext {
  int64_t observation_size = 0;  // D
  int64_t action_size = 0;       // A
  v1::SignalRole role = v1::REWARD;
  v1::SignalInput input = v1::SUCCESS;
  int64_t episode_steps = 0;  // M
  // Each episode has exactly M steps and begins afresh.
  bool independent_episodes = true;
  int64_t steps_per_iteration = 0;  // T; 0: unknown, as if lifetimes had one segment.
  bool discrete_actions = false;
  // The device of the network's kernels, if it has any; all tensors are the host's.
  kernels::Device device = {};
};

// A task's outcome at each step as the network sees it (methods/black_box/README.md#inputs, feature
// 4). Three times the success signal, the shaped reward, or both in this order; each [S, T] in the
// dtype of the observations.
std::vector<torch::Tensor> OutcomeFeatures(const agents::Segment& segment, v1::SignalInput input);
// [S, T]: the outcome that signal.input names, as a reward; both outcomes are added.
torch::Tensor TaskReward(const agents::Segment& segment, v1::SignalInput input);
inline int64_t NumOutcomes(v1::SignalInput input) {
  return input == v1::SUCCESS_AND_SHAPED ? 2 : 1;
}

// The state of S lifetimes between steps. Begins as zeros.
struct SignalState {
  std::vector<torch::Tensor> recurrent;  // The network's own, each [S, ...].
  torch::Tensor previous;                // [S]: the last signal as used.
};

// The state of lifetimes first .. first + count (their segments: agents/segment.h). Views.
SignalState SomeLifetimes(const SignalState& state, int64_t first, int64_t count);

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

// The steps that a network attended to in one episode of a segment.
struct AttentionMap {
  std::string name;      // The layer, for instance "block 0, head 1".
  int64_t lifetime = 0;  // Index of the lifetime in the segment,
  // and the segment's step at which the episode, or its part inside, begins.
  int64_t first_step = 0;
  torch::Tensor weights;  // [t, t]: row i is step i's attention to the steps; rows sum to 1.
};

// Inputs of a learned loss: S agents' last N steps, oldest first. Policy outputs p are the mean and
// log-std of a Gaussian, 2 A numbers, or A probabilities.
struct LossInputs {
  torch::Tensor observations;  // [S, N, D]
  torch::Tensor actions;       // [S, N, A]: one-hot, or unclipped
  torch::Tensor rewards;       // [S, N]
  torch::Tensor dones;         // [S, N]: 1 where the episode ended with the step
  torch::Tensor policy;        // [S, N, p]: of the policy that is to learn, with its graph
  torch::Tensor context;       // [S, c]: numbers of the agent that only the loss reads
  torch::Tensor rows;          // [S, B] int64 below N: the loss is the mean over these steps
};

// A critic may see gamma and lambda behind the observation, through a linear map without bias that
// it learns (Xu, van Hasselt and Silver 2018, section 3;
// methods/meta_gradient/README.md#what-the-critic-sees).
struct DiscountInput {
  int64_t embedding = 0;  // E numbers; 0: the critic sees the observation alone.
  double gamma = 0, lambda = 0;
};

// The numbers that critics, and with `policy` also policies, see behind the observation.
struct DiscountSight {
  DiscountInput discounts;
  bool policy = false;
};

struct LossSizes {
  int64_t steps = 0;    // N
  int64_t context = 0;  // c
};

// Gives the signals of lifetimes.
class SignalSource {
 public:
  virtual ~SignalSource() = default;
  // True if it reads the outcome that SignalSpec.input names.
  virtual bool sees_outcome() const { return true; }
  // True if it reads Segment::values and last_values: the agents need a critic in every role.
  virtual bool needs_values() const { return false; }
  // True if it is to see observations of scale 1 (option `normalize_observations`): inner loops
  // give it segments as NetworkSight shows them (methods/base/loop_parts.h).
  virtual bool sees_normalised() const { return false; }
  // The default serves networks without memory.
  virtual SignalState InitialState(int64_t num_lifetimes, torch::Dtype dtype) const;
  // Runs along one segment, lock-step over S lifetimes, without gradients, and advances *state.
  // noise: [S, T] standard normals for sampled signals, which take a density; undefined for means.
  virtual SignalOutputs Run(const torch::Tensor& weights, const agents::Segment& segment,
                            const torch::Tensor& noise, SignalState* state) const = 0;
  // Device memory of the kernels of Run along the steps of so many lifetimes. 0: no such kernels.
  virtual int64_t RunDeviceBytes(int64_t /*lifetimes*/, int64_t /*steps*/) const { return 0; }
};

// Signals that are a differentiable function of the weights; for gradient rules.
class SignalGradient : public SignalSource {
 public:
  // Mean signals [S, T] of one segment, with a graph back to `weights` (any floating dtype). Begins
  // at *state and advances it without a graph.
  virtual torch::Tensor Signals(const torch::Tensor& weights, const agents::Segment& segment,
                                SignalState* state) const = 0;
  // The default serves networks without density: the means.
  SignalOutputs Run(const torch::Tensor& weights, const agents::Segment& segment,
                    const torch::Tensor& noise, SignalState* state) const override;
  // How many of the last weights a conditioned policy sees: eta of
  // methods/response_gradient/README.md#conditional-layer-normalisation. 0: none.
  virtual int64_t conditioning_size() const { return 0; }
  // What critic and policy see of gamma and lambda, when these are the weights.
  virtual DiscountSight SightOf(const torch::Tensor& /*weights*/) const { return {}; }
};

// Signals that can be sampled and have a density and a value, so that Run takes noise; for
// black-box rules.
class SignalDensity {
 public:
  virtual ~SignalDensity() = default;
  // Steps that belong together in training: pieces are cut at multiples of it.
  virtual int64_t piece_unit() const { return 1; }
  // Steps after which the network has forgotten all later ones. Evaluate and GradientAt get the
  // features of a piece up to the next multiple, and read them without a gradient behind the piece.
  virtual int64_t looks_ahead() const { return 1; }
  // The network's input [N, t, features] for a recorded piece. `previous` [N, t]: the signals one
  // step before.
  virtual torch::Tensor Features(const agents::Segment& segment,
                                 const torch::Tensor& previous) const = 0;
  // Runs a piece with recorded inputs and signals, differentiable in `weights`, from detached
  // `recurrent`. A network whose features hold its whole state returns `recurrent` unchanged.
  virtual SignalEvaluation Evaluate(const torch::Tensor& weights, const torch::Tensor& features,
                                    const torch::Tensor& signals,
                                    const std::vector<torch::Tensor>& recurrent) const = 0;
  // Gradients at these weights [P], for any number of pieces; outputs are signals [N, t]. By
  // default from Evaluate. The network outlives it.
  virtual PieceGradient GradientAt(const torch::Tensor& weights) const;
  // A trainer from these weights and moments [P] float32 on the context's device. Null, the
  // default: the caller uses GradientAt.
  virtual absl::StatusOr<std::unique_ptr<PieceTrainer>> NewTrainer(const PieceTrainerSetup& setup,
                                                                   const PieceTrainerBatch& batch,
                                                                   const torch::Tensor& weights,
                                                                   const torch::Tensor& m,
                                                                   const torch::Tensor& v) const;
  // Device memory of the trainer's kernels. 0: no such kernels.
  virtual int64_t TrainerDeviceBytes(const PieceTrainerSetup& /*setup*/, int64_t /*lifetimes*/,
                                     int64_t /*steps*/) const {
    return 0;
  }
};

// A loss that agents descend (role LOSS).
class LearnedLoss {
 public:
  virtual ~LearnedLoss() = default;
  virtual LossSizes sizes() const = 0;
  // [S]: each agent's loss by its row of weights [S, P], differentiable in policy and context.
  virtual torch::Tensor Loss(const torch::Tensor& weights, const LossInputs& inputs) const = 0;
};

// For people.
class SignalExplainer {
 public:
  virtual ~SignalExplainer() = default;
  // Where the network looked while it gave the signals of a segment that begins in `state`.
  virtual std::vector<AttentionMap> Explain(const torch::Tensor& weights,
                                            const agents::Segment& segment,
                                            const SignalState& state) const = 0;
};

// Immutable: weights are an argument [P], so one object serves all threads. Its capabilities are
// objects that it owns, null by default. Rules and loops refuse a network that lacks one they need.
class SignalNetwork {
 public:
  virtual ~SignalNetwork() = default;
  virtual const agents::ParamLayout& layout() const = 0;
  // [P] float32 from keyed normals (purpose kSignalWeights).
  virtual torch::Tensor InitialWeights(uint64_t seed) const = 0;
  // Upper bound of the numbers that an evaluation holds for each step beside its input; with
  // `graph`, a differentiable one. The default follows from the layers' widths.
  virtual int64_t NumbersPerStep(bool graph) const;

  virtual const SignalSource* signals() const { return gradient(); }
  virtual const SignalGradient* gradient() const { return nullptr; }
  virtual const SignalDensity* density() const { return nullptr; }
  virtual const LearnedLoss* loss() const { return nullptr; }
  virtual const SignalExplainer* explainer() const { return nullptr; }
};

// An input of a network at each step, in words, for programs that compute a signal elsewhere
// (`mentor export`).
struct SignalColumn {
  // The part of the segment that it is made from, or a name of the network's own.
  std::string name;
  int64_t size = 1;      // Numbers of the first layer's input, in this order.
  std::string how = {};  // The operation on the columns before that layer; empty: none.
};

struct SignalEntry {
  std::string name;
  std::string summary;
  OptionTable options;
  std::function<std::unique_ptr<SignalNetwork>(const SignalContext&, const OptionValues&)> make;
  // Checks what no single option shows; adds violations under "signal.". Called before make. May be
  // null.
  std::function<void(const SignalContext&, const OptionValues&, Violations*)> check = nullptr;
  // Its columns; may be null.
  std::function<std::vector<SignalColumn>(const SignalContext&, const OptionValues&)> columns =
      nullptr;
};

const std::vector<const SignalEntry*>& SignalNetworks();
// The option of networks whose observations may be normalised, with its default.
inline constexpr char kNormalizeObservations[] = "normalize_observations";
inline constexpr char kNormalizeObservationsHelp[] =
    "Each number that it sees of the observation is divided by its root mean square in the "
    "agent's life so far, this segment included, and kept within -10 and 10.";
// Null, with violations under "signal.", when the spec does not fit.
std::unique_ptr<SignalNetwork> MakeSignalNetwork(const v1::SignalSpec& spec,
                                                 const SignalContext& context,
                                                 Violations* violations);

// SignalEntry::make of a network that its context and options make.
template <class Network, class Config>
auto MadeBy(const BoundOptions<Config>& options) {
  return [&options](const SignalContext& context,
                    const OptionValues& values) -> std::unique_ptr<SignalNetwork> {
    return std::make_unique<Network>(context, options.Read(values));
  };
}

using RegisterSignal = Registration<SignalEntry>;

}  // namespace mentor::signals
