// Generalised advantage estimation of one segment (methods/ppo/README.md#advantages-and-returns).
// Pure; threads may share.
#pragma once

#include <torch/types.h>

namespace mentor::learner {

// Episodes that a limit cut short, where these are not ends (both [S, T], or neither).
struct Truncations {
  torch::Tensor truncated;     // Not 0 where one was cut, after step t,
  torch::Tensor final_values;  // and the value of its last observation; else ignored.
};

struct Advantages {
  torch::Tensor advantages;  // [S, T] float64, on the CPU
  torch::Tensor returns;     // [S, T]: advantages + values
};

// rewards, values, prev_done [S, T]; last_done, last_values [S]; any dtype, summed in double from
// the last step back. The end of an episode has no bootstrap, and neither has the limit of steps
// (methods/ppo/README.md#reading-time-limit). Given truncations do: their step adds gamma times the
// final value, and the sum begins anew.
Advantages Gae(const torch::Tensor& rewards, const torch::Tensor& values,
               const torch::Tensor& prev_done, const torch::Tensor& last_done,
               const torch::Tensor& last_values, double gamma, double lambda,
               const Truncations& truncations = {});

// Advantages are linear in the rewards. Takes a gradient by the advantages [S, T] to the gradient
// by the rewards, [S, T] float64, on the CPU.
torch::Tensor GaeAdjoint(const torch::Tensor& advantages_grad, const torch::Tensor& prev_done,
                         double gamma, double lambda);

// Places values [S, K] of the packed final_observations at their steps: [S, T], 0 where nothing was
// truncated.
torch::Tensor AtTruncations(const torch::Tensor& values, const torch::Tensor& truncated);

}  // namespace mentor::learner
