// Statistics over each agent's rows. x is [S, B]; numbers of different agents never meet.
// Differentiable to any order, generic in dtype and device. Pure; threads may share.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace mentor::agents {

// [S]
torch::Tensor Mean(const torch::Tensor& x);

// The square root, with derivative 0 at 0, where the true one is infinite.
torch::Tensor SafeSqrt(const torch::Tensor& x);

// [S]: with B - ddof in the denominator.
torch::Tensor StandardDeviation(const torch::Tensor& x, int64_t ddof = 1);

struct Standardisation {
  int64_t ddof = 1;
  double epsilon = 1e-8;
  // Replaces a smaller standard deviation: numbers that hardly differ stay small.
  double std_floor = 0;
};

// (x - mean) / (max(std, std_floor) + epsilon): [S, B].
torch::Tensor Standardised(const torch::Tensor& x, const Standardisation& how = {});

// Estimate of KL(old, new) from log(new / old) of actions that the old policy took. It is the mean
// of (ratio - 1) - log ratio, without the cancellation of that difference near ratio 1. [S], in
// double whatever the dtype of log_ratio. Pass log_ratio in double, because it is a difference too.
// No graph.
torch::Tensor ApproxKl(const torch::Tensor& log_ratio);

}  // namespace mentor::agents
