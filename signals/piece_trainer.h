// Takes a network through the pieces of outer PPO. The CPU trains a group of lifetimes at a time
// (outer_ppo.cc); a signal network's kernels train all groups at once.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "kernels/optimizer.h"
#include "kernels/outer_step.h"

namespace mentor::learner {

class WorkerPool;

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
  OuterLossConfig loss;
  AdamConfig adam;
  double max_grad_norm = 0;
  int64_t group_lifetimes = 1;  // Lifetimes whose gradient is one sum.
  int64_t piece_steps = 0;      // Steps of a piece, at most.
  int64_t pieces = 0;           // How many make an epoch.
  WorkerPool* pool = nullptr;   // For an emulated device.
};

// Not thread-safe.
class PieceTrainer {
 public:
  struct Piece {
    std::vector<OuterLossTerms> groups;  // Sums over each group's steps.
    double grad_norm = 0;                // Before clipping.
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

}  // namespace mentor::learner
