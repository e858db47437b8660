#include "envs/small/umbrella_chain.h"

#include "common/check.h"

namespace mentor::envs {

UmbrellaChain::Outcome UmbrellaChain::Step(bool take, int coin) {
  MENTOR_CHECK(steps_ < settings_.length);
  if (steps_ == 0) have_ = take;
  ++steps_;
  if (steps_ < settings_.length)
    return {.reward = coin ? settings_.noise_reward : -settings_.noise_reward};
  const bool success = have_ == need_;
  return {.reward = success ? settings_.final_reward : -settings_.final_reward,
          .success = success,
          .terminated = true};
}

void UmbrellaChain::Observe(std::span<const int> distractors, std::span<double> observation) const {
  MENTOR_CHECK(observation.size() == 3 + distractors.size());
  observation[0] = need_;
  observation[1] = have_;
  // Rounded once to float, as the original has it.
  observation[2] = static_cast<float>(1.0 - static_cast<double>(steps_) / settings_.length);
  for (size_t i = 0; i < distractors.size(); ++i) observation[3 + i] = distractors[i];
}

}  // namespace mentor::envs
