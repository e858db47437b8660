// The sparse success signal of one lifetime, step by step
// (docs/algorithms/black_box.md#success-signal): what an agent without a shaped reward has, and
// what meta-learned networks see of the task's outcome. The one definition, for actors and
// learners. A plain value; threads may share copies.
#pragma once

#include <cstdint>

namespace mentor {

struct SuccessSignal {
  int64_t episode_steps = 0;  // Steps already made in the running episode,
  bool succeeded = false;     // and whether one of them reported success.

  // The signal of the next step, after which the environment reported `success`. starts_episode:
  // the step is the first of its episode. max_episode_steps M: the last step of an episode is its
  // M-th.
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
