#include "envs/small/umbrella_chain.h"

#include "common/check.h"

namespace mentor::envs {

StepOutcome UmbrellaChain::Step(int steps, int need, int* have, bool take, int coin) const {
  MENTOR_CHECK(steps < length);
  if (steps == 0) *have = take;
  if (steps + 1 < length) return {.reward = coin ? noise_reward : -noise_reward};
  const bool success = *have == need;
  return {.reward = success ? final_reward : -final_reward, .success = success, .terminated = true};
}

void UmbrellaChain::Observe(int steps, int need, int have, std::span<const int> distractors,
                            std::span<double> observation) const {
  MENTOR_CHECK(observation.size() == 3 + distractors.size());
  observation[0] = need;
  observation[1] = have;
  // Rounded once to float, as the original has it.
  observation[2] = static_cast<float>(1.0 - static_cast<double>(steps) / length);
  for (size_t i = 0; i < distractors.size(); ++i) observation[3 + i] = distractors[i];
}

}  // namespace mentor::envs
