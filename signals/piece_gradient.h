// The gradient of a loss that gets each step of a recorded piece of lifetimes. Outer PPO needs it
// of a network. LibTorch need not differentiate the loss, so a network with its own kernels
// computes heads, loss and backward pass together.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <vector>

#include <absl/status/statusor.h>

#include "kernels/optimizer.h"
#include "kernels/outer_step.h"
#include "signals/loss_of_step.h"

namespace mentor::agents {
class WorkerPool;
}  // namespace mentor::agents

namespace mentor::signals {

// Runs a piece from `recurrent` with recorded features [N, t, features] and outputs [N, t, ...],
// all detached. Sets *gradient [P] to the gradient of the loss by the weights for which it was
// made. Returns the state that enters the next piece, detached. Thread-safe.
using PieceGradient = std::function<std::vector<torch::Tensor>(
    const torch::Tensor& features, const torch::Tensor& outputs,
    const std::vector<torch::Tensor>& recurrent, LossOfStep loss, torch::Tensor* gradient)>;

// Differentiable quantities of a piece, each [N, t].
struct PieceEvaluation {
  torch::Tensor log_probs;  // Log-densities of the recorded outputs.
  torch::Tensor entropies;
  torch::Tensor values;
  std::vector<torch::Tensor> final_recurrent;  // Detached.
};

// By LibTorch: `evaluate` is differentiable in its weights [P].
PieceGradient GradientByAutograd(
    const torch::Tensor& weights,
    std::function<PieceEvaluation(const torch::Tensor& weights, const torch::Tensor& features,
                                  const torch::Tensor& outputs,
                                  const std::vector<torch::Tensor>& recurrent)>
        evaluate);

// The trained steps of N lifetimes, on the host.
struct PieceTrainerBatch {
  torch::Tensor features;      // [N, n, features]: inputs as they were
  torch::Tensor cut_features;  // The same for first steps of pieces; undefined: no difference.
  torch::Tensor signals;       // [N, n]
  torch::Tensor log_probs;     // [N, n]: of the signals when they were made
  torch::Tensor advantages;    // [N, n]: standardised
  torch::Tensor returns;       // [N, n]: targets of the value head
};

struct PieceTrainerSetup {
  kernels::OuterLossConfig loss;
  kernels::AdamConfig adam;
  double max_grad_norm = 0;
  int64_t group_lifetimes = 1;         // Lifetimes whose gradient is one sum.
  int64_t piece_steps = 0;             // Steps of a piece, at most.
  int64_t pieces = 0;                  // How many make an epoch.
  agents::WorkerPool* pool = nullptr;  // For an emulated device.
};

// Takes a network through the pieces of outer PPO. The CPU trains a group of lifetimes at a time
// (outer_ppo.cc); a signal network's kernels train all groups at once. Not thread-safe.
class PieceTrainer {
 public:
  struct Piece {
    std::vector<kernels::OuterLossTerms> groups;  // Sums over each group's steps.
    double grad_norm = 0;                         // Before clipping.
  };

  virtual ~PieceTrainer() = default;
  // Begins lifetimes: their memories are empty.
  virtual absl::Status BeginEpoch() = 0;
  // Loss and gradient of steps [begin, end). A device may still be at it after the return.
  virtual absl::Status Train(int64_t begin, int64_t end) = 0;
  // An optimizer step with the gradients since the last one. Steps count from 1.
  virtual absl::Status Step(int64_t step) = 0;
  // The pieces of the epoch, in order.
  virtual absl::StatusOr<std::vector<Piece>> EndEpoch() = 0;
  // Copies the present weights and moments [P] into the tensors that it was made from, which are
  // the host's.
  virtual absl::Status Read(torch::Tensor weights, torch::Tensor m, torch::Tensor v) = 0;
};

}  // namespace mentor::signals
