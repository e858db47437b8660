// Generalised advantage estimation of one segment (docs/algorithms/ppo.md#advantages-and-returns).
// Pure; threads may share.
#pragma once

#include <torch/types.h>

namespace mentor::learner {

// Episodes that a limit cut short, where they are not to count as ends (both [S, T], or neither).
struct Truncations {
  torch::Tensor truncated;     // Not 0 where one was, after step t,
  torch::Tensor final_values;  // and the value of the observation that it ended with; else ignored.
};

struct Advantages {
  torch::Tensor advantages;  // [S, T] float64, on the CPU
  torch::Tensor returns;     // [S, T]: advantages + values
};

// rewards, values, prev_done [S, T]; last_done, last_values [S]; any dtype, summed in double from
// the last step back. The end of an episode has no bootstrap, the limit of steps included
// (docs/algorithms/ppo.md#reading-time-limit), but for truncations that are given: their step has
// gamma times the final value instead, and the sum begins anew.
Advantages Gae(const torch::Tensor& rewards, const torch::Tensor& values,
               const torch::Tensor& prev_done, const torch::Tensor& last_done,
               const torch::Tensor& last_values, double gamma, double lambda,
               const Truncations& truncations = {});

// Advantages are linear in the rewards: from the gradient of anything with respect to the
// advantages [S, T], the one with respect to the rewards [S, T] float64, on the CPU.
torch::Tensor GaeAdjoint(const torch::Tensor& advantages_grad, const torch::Tensor& prev_done,
                         double gamma, double lambda);

// Values [S, K] of final_observations, as they are packed in a segment, at their steps: [S, T],
// with 0 where nothing was truncated.
torch::Tensor AtTruncations(const torch::Tensor& values, const torch::Tensor& truncated);

}  // namespace mentor::learner
