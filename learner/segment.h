// One inner iteration of all agents of a shard, as tensors. S agents, T steps, D observation, A
// action.
#pragma once

#include <torch/types.h>

namespace mentor::learner {

struct Segment {
  // From the actors (float32 unless said).
  torch::Tensor observations;     // [S, T, D]: o_t, before the step
  torch::Tensor actions;          // [S, T, A]: unclipped
  torch::Tensor log_probs;        // [S, T]: log-density of the actions that the actor computed
  torch::Tensor shaped_rewards;   // [S, T] float64: raw
  torch::Tensor success_signals;  // [S, T]: black_box.md section 3
  torch::Tensor successes;        // [S, T]: 1 where the environment reported success after the step
  torch::Tensor
      prev_done;  // [S, T]: 1 where the episode ended with step t-1; 0 at the lifetime's first step
  torch::Tensor last_done;          // [S]: the same after the last step
  torch::Tensor next_observations;  // [S, D]: after the last step

  // On the learner only: what the agents' value network said when the segment was collected.
  torch::Tensor values;       // [S, T]
  torch::Tensor last_values;  // [S]: of next_observations

  // From the signal network, when there is one.
  torch::Tensor signals;           // [S, T]: y_t as used
  torch::Tensor signal_log_probs;  // [S, T]: undefined when the mean was used
  torch::Tensor signal_values;     // [S, T]: undefined when the mean was used
};

}  // namespace mentor::learner
