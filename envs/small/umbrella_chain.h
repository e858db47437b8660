// The Umbrella Length problem (Osband et al. 2020, bsuite): the first of C actions decides the
// reward of the last step, the rewards between are coin flips. Definition:
// methods/meta_gradient/README.md#umbrella-length. The chain alone, with the coins handed in, so
// that recorded cases can be replayed. Pure; threads may share.
#pragma once

#include <span>

#include "envs/environment.h"

namespace mentor::envs {

struct UmbrellaChain {
  int length = 20;            // C: steps of an episode.
  int distractors = 0;        // n
  double final_reward = 10;   // F
  double noise_reward = 0.1;  // nu

  // A step after `steps` others. need: is it going to rain; *have: the umbrella. take counts in the
  // first step only; coin decides the sign of the noise in all steps but the last.
  StepOutcome Step(int steps, int need, int* have, bool take, int coin) const;
  // (need, have, countdown, distractors): what is seen after `steps` steps. distractors: [n], 0
  // or 1.
  void Observe(int steps, int need, int have, std::span<const int> distractors,
               std::span<double> observation) const;
};

}  // namespace mentor::envs
