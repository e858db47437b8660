// The gradient of a loss that gets each step of a recorded piece of lifetimes. Outer PPO needs it
// of a network. LibTorch need not differentiate the loss, so a network with its own kernels
// computes heads, loss and backward pass together.
#pragma once

#include <torch/types.h>

#include <functional>
#include <vector>

#include "signals/loss_of_step.h"

namespace mentor::learner {

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

}  // namespace mentor::learner
