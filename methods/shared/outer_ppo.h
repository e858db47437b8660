// PPO of a recurrent network over whole lifetimes, by truncated backpropagation through time
// (methods/black_box/README.md#outer-update). The network is a signal network, whose actions are
// signals, or a recurrent policy (methods/rl2/README.md#training). Functions of tensors; nothing is
// kept. Gradients of fixed groups of lifetimes are computed side by side and added in order, so the
// number of threads never changes a bit.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <absl/status/statusor.h>

#include "agents/segment.h"
#include "common/rng.h"
#include "kernels/outer_step.h"
#include "methods/shared/trained_weights.h"
#include "signals/signal_network.h"

namespace mentor::agents {
class WorkerPool;
}  // namespace mentor::agents

namespace mentor::methods {

struct Piece {
  int64_t begin = 0;
  int64_t end = 0;  // One past the last step.
};

// Returns [0, displacement), then [displacement, n) cut into floor(n / k) - 1 parts. Their lengths
// differ by at most 1, longer ones first. n >= 2 k, 1 <= displacement <= k. Lengths are multiples
// of `unit` steps, as n and k are; the displacement is given in units.
std::vector<Piece> SplitIntoPieces(int64_t n, int64_t k, int64_t displacement, int64_t unit = 1);

// The pieces that SplitIntoPieces makes of n steps, for any displacement.
int64_t NumPieces(int64_t n, int64_t k);

// Steps of the longest piece that SplitIntoPieces makes of n steps, for any displacement.
int64_t GreatestPiece(int64_t n, int64_t k, int64_t unit = 1);

// The numbers of finished pieces after which an optimizer step follows: each piece (num_minibatches
// = 0), or floor(i num_pieces / m) for i = 1..m.
std::vector<int64_t> StepBoundaries(int64_t num_pieces, int64_t num_minibatches);

struct OuterPpoConfig {
  kernels::AdamConfig adam = {.learning_rate = 5e-5};
  kernels::OuterLossConfig loss = {};
  // The loss is the mean of the network's -log_prob. Only pieces and steps remain of PPO.
  bool regression = false;
  double max_grad_norm = 0.5;
  double target_kl = 0.01;  // 0: never stops early.
  int64_t epochs = 12;      // At most.
  int64_t k = 400;
  int64_t piece_unit = 1;  // SignalDensity::piece_unit: divides k and the trained steps.
  // 0: one optimizer step for each piece
  // (methods/black_box/README.md#reading-minibatch-count-zero).
  int64_t num_minibatches = 0;
  // Lifetimes whose gradient is one task and one sum; 0: a function of the number of lifetimes.
  int64_t group_lifetimes = 0;
  // Bound of max |rho - 1| before the first optimizer step
  // (methods/black_box/README.md#reading-ratio-of-one).
  double rho_error_max = 1e-3;
};

// The trained network, as functions without state that all threads may call.
struct TrainedNetwork {
  int64_t looks_ahead = 1;  // SignalDensity::looks_ahead
  // The state before the first step of N lifetimes.
  std::function<std::vector<torch::Tensor>(int64_t num_lifetimes, torch::Dtype)> initial_recurrent;
  // Gradients of pieces at weights [P].
  std::function<signals::PieceGradient(const torch::Tensor& weights)> gradient_at;
  // For a network that trains elsewhere than on the CPU (SignalDensity::NewTrainer); may be null.
  std::function<absl::StatusOr<std::unique_ptr<signals::PieceTrainer>>(
      const signals::PieceTrainerSetup&, const signals::PieceTrainerBatch&,
      const torch::Tensor& weights, const torch::Tensor& m, const torch::Tensor& v)>
      new_trainer;
  // SignalDensity::TrainerDeviceBytes; may be null.
  std::function<int64_t(const signals::PieceTrainerSetup&, int64_t lifetimes, int64_t steps)>
      trainer_device_bytes;

  TrainedNetwork() = default;
  // From a signal network with a density, which outlives this.
  TrainedNetwork(const signals::SignalNetwork& network);  // NOLINT: its only meaning here.
};

// The trained steps of N lifetimes: the first n = L - T for a signal network, all n = L for a
// policy.
struct OuterPpoBatch {
  torch::Tensor features;  // [N, n, features]: inputs as they were
  // The same with 0 as previous output, for cuts; undefined when not wanted.
  torch::Tensor cut_features;
  torch::Tensor outputs;     // [N, n] signals or [N, n, A] actions
  torch::Tensor log_probs;   // [N, n]: their log-densities when they were made
  torch::Tensor advantages;  // [N, n]: standardised
  torch::Tensor returns;     // [N, n]: targets of the value head
};

// The batch of a signal network. zero_prev_at_cut: the input shift of the reference at cuts
// (methods/black_box/README.md#reading-previous-signal-at-cuts).
OuterPpoBatch MakeOuterPpoBatch(const signals::SignalDensity& density, const agents::Segment& steps,
                                torch::Tensor advantages, torch::Tensor returns,
                                bool zero_prev_at_cut = false);

// Report of one piece before its optimizer step: means over N x (end - begin) numbers.
struct PieceReport {
  Piece piece;
  double pg_loss = 0;
  double value_loss = 0;  // Half the mean squared error.
  double entropy = 0;
  double loss = 0;
  double kl = 0;
  double clip_fraction = 0;
  double rho_error = 0;  // max |rho - 1|
  double grad_norm = 0;  // Before clipping.
};

struct PieceResult {
  PieceReport report;
  torch::Tensor gradient;                      // [P], before clipping
  std::vector<torch::Tensor> group_gradients;  // Its summands [P], one for each group of lifetimes
  int64_t group_lifetimes = 0;                 // Lifetimes of a group; the last may have fewer.
  std::vector<torch::Tensor> final_recurrent;  // Each [N, ...]: enters the next piece.
};

struct OuterPpoResult {
  std::vector<std::vector<PieceReport>> epochs;  // Only epochs that ran.
  int64_t optimizer_steps = 0;
};

// (x - mean) / (max(std, std_floor) + 1e-8) over all numbers; std is unbiased, in double
// (methods/black_box/README.md#reading-sums-in-double).
torch::Tensor StandardiseAdvantages(const torch::Tensor& advantages, double std_floor = 0);

// `count` different integers of 1..k, in the order of their epochs.
std::vector<int64_t> DrawDisplacements(const RandomStream& stream, int64_t k, int64_t count);

// Device memory of RunOuterPpo for a batch of N lifetimes with n trained steps.
int64_t OuterPpoDeviceBytes(const TrainedNetwork& network, const OuterPpoConfig& config,
                            int64_t lifetimes, int64_t steps);

// Loss and gradient of one piece at the given weights [P]; `recurrent` enters the piece. A null
// pool runs on this thread.
absl::StatusOr<PieceResult> EvaluatePiece(const TrainedNetwork& network,
                                          const OuterPpoConfig& config, const OuterPpoBatch& batch,
                                          const Piece& piece, const torch::Tensor& weights,
                                          const std::vector<torch::Tensor>& recurrent,
                                          agents::WorkerPool* pool);

// Runs at most one epoch for each displacement, in units of config.piece_unit steps. Changes
// weights and *adam in place; an error leaves both undefined. FAILED_PRECONDITION when the first
// piece's ratios are not 1 within rho_error_max. INTERNAL when a loss or gradient is not finite;
// RESOURCE_EXHAUSTED when a device lacks memory. CANCELLED between two pieces (CallerScope).
absl::StatusOr<OuterPpoResult> RunOuterPpo(const TrainedNetwork& network,
                                           const OuterPpoConfig& config, const OuterPpoBatch& batch,
                                           std::span<const int64_t> displacements,
                                           torch::Tensor weights, AdamState* adam,
                                           agents::WorkerPool* pool);

}  // namespace mentor::methods
