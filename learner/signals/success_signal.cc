#include "learner/signals/success_signal.h"

#include "common/check.h"

namespace mentor::learner {

SuccessState InitialSuccessState(int64_t num_lifetimes) {
  return {torch::zeros({num_lifetimes}, torch::kInt64),
          torch::zeros({num_lifetimes}, torch::kUInt8)};
}

void SuccessSignal(std::span<const uint8_t> successes, std::span<const uint8_t> prev_done,
                   int64_t max_episode_steps, int64_t* episode_steps, bool* succeeded,
                   std::span<double> signals) {
  MENTOR_CHECK(successes.size() == prev_done.size() && successes.size() == signals.size());
  MENTOR_CHECK(max_episode_steps > 0);
  for (size_t t = 0; t < successes.size(); ++t) {
    if (prev_done[t]) {
      *episode_steps = 0;
      *succeeded = false;
    }
    const int64_t k = (*episode_steps)++;
    signals[t] = 0;
    if (*succeeded) continue;
    if (successes[t]) {
      *succeeded = true;
      signals[t] = 1 - 0.7 * static_cast<double>(k) / static_cast<double>(max_episode_steps);
    } else if (k == max_episode_steps - 1) {
      signals[t] = -0.2;
    }
  }
}

torch::Tensor SuccessSignals(const torch::Tensor& successes, const torch::Tensor& prev_done,
                             int64_t max_episode_steps, SuccessState* state) {
  MENTOR_CHECK(successes.dim() == 2 && successes.sizes() == prev_done.sizes());
  const int64_t lifetimes = successes.size(0), steps = successes.size(1);
  const torch::Tensor flags = successes.ne(0).to(torch::kUInt8).contiguous();
  const torch::Tensor starts = prev_done.ne(0).to(torch::kUInt8).contiguous();
  torch::Tensor episode_steps = state->episode_steps.clone(), succeeded = state->succeeded.clone();
  MENTOR_CHECK(episode_steps.numel() == lifetimes && succeeded.numel() == lifetimes);
  torch::Tensor signals = torch::empty({lifetimes, steps}, torch::kFloat64);
  const auto length = static_cast<size_t>(steps);
  for (int64_t l = 0; l < lifetimes; ++l) {
    int64_t k = episode_steps.mutable_data_ptr<int64_t>()[l];
    bool success = succeeded.mutable_data_ptr<uint8_t>()[l] != 0;
    SuccessSignal({flags.const_data_ptr<uint8_t>() + l * steps, length},
                  {starts.const_data_ptr<uint8_t>() + l * steps, length}, max_episode_steps, &k,
                  &success, {signals.mutable_data_ptr<double>() + l * steps, length});
    episode_steps.mutable_data_ptr<int64_t>()[l] = k;
    succeeded.mutable_data_ptr<uint8_t>()[l] = success;
  }
  *state = {episode_steps, succeeded};
  return signals.to(successes.is_floating_point() ? successes.scalar_type() : torch::kFloat32);
}

}  // namespace mentor::learner
