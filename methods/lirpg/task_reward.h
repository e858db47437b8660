// The task's reward as LIRPG's agents earn it (methods/lirpg/README.md#the-tasks-reward). It is
// divided by the running deviation of its discounted sum, then summed and paid every few steps. Its
// numbers go on from segment to segment. One thread.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace mentor::learner {

struct TaskRewardConfig {
  bool scaled = false;
  double gamma = 0.99;  // The sum's discount.
  int64_t every = 1;    // Steps between payments, counted from an episode's begin.
};

class EarnedReward {
 public:
  EarnedReward(const TaskRewardConfig& config, int64_t num_agents);

  // rewards [S, T] float64, raw; ended [S, T]: not 0 where an episode ended with the step. Returns
  // what agents earn, [S, T] float64. Call it once for each segment.
  torch::Tensor Earn(const torch::Tensor& rewards, const torch::Tensor& ended);

  // [S, 6] float64: discounted sum; mean, variance and count of such sums; reward that waits, and
  // the steps that it has waited.
  torch::Tensor* mutable_state() { return &state_; }

 private:
  const TaskRewardConfig config_;
  torch::Tensor state_;
};

}  // namespace mentor::learner
