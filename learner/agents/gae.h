// Generalised advantage estimation of one segment (ppo.md section 5). Pure; threads may share.
#pragma once

#include <torch/types.h>

namespace mentor::learner {

struct Advantages {
  torch::Tensor advantages;  // [S, T] float64, on the CPU
  torch::Tensor returns;     // [S, T]: advantages + values
};

// rewards, values, prev_done [S, T]; last_done, last_values [S]; any dtype, summed in double from
// the last step back. The end of an episode has no bootstrap, the limit of steps included (reading
// P1 of ppo.md).
Advantages Gae(const torch::Tensor& rewards, const torch::Tensor& values,
               const torch::Tensor& prev_done, const torch::Tensor& last_done,
               const torch::Tensor& last_values, double gamma, double lambda);

// Advantages are linear in the rewards: from the gradient of anything with respect to the
// advantages [S, T], the one with respect to the rewards [S, T] float64, on the CPU.
torch::Tensor GaeAdjoint(const torch::Tensor& advantages_grad, const torch::Tensor& prev_done,
                         double gamma, double lambda);

}  // namespace mentor::learner
