// The sparse success signal of one lifetime, step by step
// (methods/black_box/README.md#success-signal). Agents without a shaped reward learn from it, and
// meta-learned networks see it as the task's outcome. Actors and learners share this definition. A
// plain value; threads may share copies.
#pragma once

#include <cstdint>

namespace mentor {

struct SuccessSignal {
  int64_t episode_steps = 0;  // Steps already made in the current episode.
  bool succeeded = false;     // True if one of those steps reported success.

  // Returns the signal of the next step, for which the environment reported `success`. The flag
  // starts_episode marks the first step of an episode. An episode has at most M =
  // max_episode_steps steps.
  double Step(bool starts_episode, bool success, int64_t max_episode_steps) {
    if (starts_episode) *this = {};
    const int64_t k = episode_steps++;
    if (succeeded) return 0;
    if (success) {
      succeeded = true;
      return 1 - 0.7 * static_cast<double>(k) / static_cast<double>(max_episode_steps);
    }
    return k == max_episode_steps - 1 ? -0.2 : 0;
  }
};

}  // namespace mentor
