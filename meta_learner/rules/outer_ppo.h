// PPO of the signal network over whole lifetimes, by truncated backpropagation through time
// (black_box.md section 8). Functions of tensors; nothing is kept. Lifetimes are cut into groups of
// fixed size whose gradients are computed side by side and added in order, so the number of threads
// never changes a bit.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/rng.h"
#include "learner/segment.h"
#include "learner/signals/signal_network.h"
#include "meta_learner/rules/tbptt.h"

namespace mentor::learner {
class WorkerPool;
}

namespace mentor::meta_learner {

struct OuterPpoConfig {
  double learning_rate = 5e-5;
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.999;
  double adam_epsilon = 1e-5;
  double clip = 0.2;
  double entropy_coef = 0.003;
  double value_coef = 0.5;
  double max_grad_norm = 0.5;
  std::optional<double> target_kl = 0.01;  // Unset: never stops early.
  int64_t k = 400;
  int64_t num_minibatches = 0;    // 0: one optimizer step for each piece (reading B19).
  bool zero_prev_at_cut = false;  // The reference's input shift at cuts (reading B1).
  double rho_error_max =
      1e-3;  // Bound of max |rho - 1| before the first optimizer step (reading B16).
};

// N lifetimes, the first n = L - T steps of each.
struct OuterPpoBatch {
  learner::Segment steps;    // [N, n, ...], with recorded signals and their log-densities
  torch::Tensor features;    // [N, n, features]: with the true previous signals
  torch::Tensor advantages;  // [N, n]: standardised
  torch::Tensor returns;     // [N, n]: targets of the value head
};

OuterPpoBatch MakeOuterPpoBatch(const learner::SignalNetwork& network, learner::Segment steps,
                                torch::Tensor advantages, torch::Tensor returns);

struct AdamState {
  torch::Tensor m;   // [P]
  torch::Tensor v;   // [P]
  int64_t step = 0;  // Steps made.
};

// What one piece said before its optimizer step: means over N x (end - begin) numbers.
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
  std::vector<torch::Tensor> final_recurrent;  // Each [N, ...]: enters the next piece.
};

struct OuterPpoResult {
  std::vector<std::vector<PieceReport>> epochs;  // Those that ran.
  int64_t optimizer_steps = 0;
};

// (x - mean) / (std + 1e-8) over all numbers, std unbiased, in double (reading B12).
torch::Tensor StandardiseAdvantages(const torch::Tensor& advantages);

// `count` different integers of 1..k, in the order of their epochs.
std::vector<int64_t> DrawDisplacements(const RandomStream& stream, int64_t k, int64_t count);

// Loss and gradient of one piece at the given weights [P]; `recurrent` enters the piece. A null
// pool: on this thread.
absl::StatusOr<PieceResult> EvaluatePiece(const learner::SignalNetwork& network,
                                          const OuterPpoConfig& config, const OuterPpoBatch& batch,
                                          const Piece& piece, const torch::Tensor& weights,
                                          const std::vector<torch::Tensor>& recurrent,
                                          learner::WorkerPool* pool);

// Clips the gradient by its norm over all weights and makes one step of Adam; weights and *adam
// change in place.
void ClipAndStep(const OuterPpoConfig& config, const torch::Tensor& gradient, torch::Tensor weights,
                 AdamState* adam);

// At most one epoch for each displacement; weights and *adam change in place. An error leaves both
// in an undefined state: FAILED_PRECONDITION when the first piece's ratios are not 1 within
// rho_error_max, INTERNAL when a loss or gradient is not finite.
absl::StatusOr<OuterPpoResult> RunOuterPpo(const learner::SignalNetwork& network,
                                           const OuterPpoConfig& config, const OuterPpoBatch& batch,
                                           std::span<const int64_t> displacements,
                                           torch::Tensor weights, AdamState* adam,
                                           learner::WorkerPool* pool);

}  // namespace mentor::meta_learner
