// The success signal (common/success_signal.h) of stacked lifetimes, a segment at a time. Pure
// functions; threads may share.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace mentor::signals {

// The place of each of S lifetimes in its episode, carried from segment to segment. Begins as
// zeros.
struct SuccessState {
  torch::Tensor episode_steps;  // [S] int64: steps already made in the running episode
  torch::Tensor succeeded;      // [S] uint8: 1 when one of them reported success
};

SuccessState InitialSuccessState(int64_t num_lifetimes);

// Signals [S, T] of one segment, in the dtype of `successes` (float32 when that is a flag).
// Advances *state.
//   successes [S, T]: not 0 where the environment reported success after the step
//   prev_done [S, T]: not 0 where a new episode begins
//   max_episode_steps M: the last step of an episode is its M-th
torch::Tensor SuccessSignals(const torch::Tensor& successes, const torch::Tensor& prev_done,
                             int64_t max_episode_steps, SuccessState* state);

}  // namespace mentor::signals
