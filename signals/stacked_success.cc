#include "signals/stacked_success.h"

#include "common/check.h"
#include "common/success_signal.h"

namespace mentor::signals {

SuccessState InitialSuccessState(int64_t num_lifetimes) {
  return {torch::zeros({num_lifetimes}, torch::kInt64),
          torch::zeros({num_lifetimes}, torch::kUInt8)};
}

torch::Tensor SuccessSignals(const torch::Tensor& successes, const torch::Tensor& prev_done,
                             int64_t max_episode_steps, SuccessState* state) {
  MENTOR_CHECK(max_episode_steps > 0);
  MENTOR_CHECK(successes.dim() == 2 && successes.sizes() == prev_done.sizes());
  const int64_t lifetimes = successes.size(0), steps = successes.size(1);
  const torch::Tensor flags = successes.ne(0).to(torch::kUInt8).contiguous();
  const torch::Tensor starts = prev_done.ne(0).to(torch::kUInt8).contiguous();
  torch::Tensor episode_steps = state->episode_steps.clone(), succeeded = state->succeeded.clone();
  MENTOR_CHECK(episode_steps.numel() == lifetimes && succeeded.numel() == lifetimes);
  torch::Tensor signals = torch::empty({lifetimes, steps}, torch::kFloat64);
  for (int64_t l = 0; l < lifetimes; ++l) {
    const uint8_t* success = flags.const_data_ptr<uint8_t>() + l * steps;
    const uint8_t* start = starts.const_data_ptr<uint8_t>() + l * steps;
    double* signal = signals.mutable_data_ptr<double>() + l * steps;
    int64_t& k = episode_steps.mutable_data_ptr<int64_t>()[l];
    uint8_t& flag = succeeded.mutable_data_ptr<uint8_t>()[l];
    SuccessSignal lifetime{.episode_steps = k, .succeeded = flag != 0};
    for (int64_t t = 0; t < steps; ++t)
      signal[t] = lifetime.Step(start[t] != 0, success[t] != 0, max_episode_steps);
    k = lifetime.episode_steps;
    flag = lifetime.succeeded;
  }
  *state = {episode_steps, succeeded};
  return signals.to(successes.is_floating_point() ? successes.scalar_type() : torch::kFloat32);
}

}  // namespace mentor::signals
