// What the agents of rule lirpg earn, and their options, which the rule reads too.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "agents/ppo_config.h"
#include "common/options.h"
#include "mentor/v1/spec.pb.h"
#include "methods/lirpg/step.h"

namespace mentor::methods {

// The task's reward as the agents earn it (methods/lirpg/README.md#the-tasks-reward): divided by
// the running deviation of its discounted sum, then summed and paid every few steps. Its numbers go
// on from segment to segment. One thread.

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

struct LirpgSettings {
  bool success = false;  // r_ex is the sparse success signal.
  double c_ex = 0, c_in = 1;
  bool tensorflow = false;       // Forms of Adam, clipping and deviations.
  agents::PpoConfig outer = {};  // Adam's settings of the reward network and the task's critics.
  TaskRewardConfig reward = {};

  // False if no weight of the reward network could move.
  bool teaches() const { return c_in > 0 && outer.learning_rate > 0; }
};

LirpgSettings ReadLirpg(const v1::AgentSpec& agent, const OptionValues& options);

}  // namespace mentor::methods
