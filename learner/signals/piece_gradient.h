// The gradient of a loss that is told of each step of a recorded piece of lifetimes: what outer PPO
// asks of a network. A loss need not be differentiable by LibTorch, so a network with kernels of
// its own computes heads, loss and backward pass together.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "learner/signals/loss_of_step.h"

namespace mentor::learner {

// Runs a piece from `recurrent` with recorded features [N, t, features] and outputs [N, t, ...],
// all detached; gives in *gradient [P] the gradient of the loss by the weights for which it was
// made, and returns what enters the next piece, detached. Thread-safe.
using PieceGradient = std::function<std::vector<torch::Tensor>(
    const torch::Tensor& features, const torch::Tensor& outputs,
    const std::vector<torch::Tensor>& recurrent, LossOfStep loss, torch::Tensor* gradient)>;

// Differentiable quantities of a piece, each [N, t].
struct PieceEvaluation {
  torch::Tensor log_probs;  // The recorded outputs' densities.
  torch::Tensor entropies;
  torch::Tensor values;
  std::vector<torch::Tensor> final_recurrent;  // Detached.
};

// By LibTorch: `evaluate` is differentiable in the weights [P] that it is given.
PieceGradient GradientByAutograd(
    const torch::Tensor& weights,
    std::function<PieceEvaluation(const torch::Tensor& weights, const torch::Tensor& features,
                                  const torch::Tensor& outputs,
                                  const std::vector<torch::Tensor>& recurrent)>
        evaluate);

}  // namespace mentor::learner
