// Generalised advantage estimation of one agent (gae.h), in double. Pure; threads may share.
#pragma once

#include <cstdint>

namespace mentor::learner {

// T is the type of values and results; sums are doubles in any case.
template <typename T>
struct GaeInput {
  double gamma, lambda;
  int64_t steps;            // T
  const double* rewards;    // [T], as all arrays; of S agents before Of
  const double* prev_done;  // Not 0 where an episode began.
  const double* last_done;  // [1]
  const T *values, *last_values;
  // Both null without truncations.
  const double* truncated;
  const T* final_values;

  GaeInput Of(int64_t agent) const {
    GaeInput own = *this;
    own.rewards += agent * steps;
    own.prev_done += agent * steps;
    own.last_done += agent;
    own.values += agent * steps;
    own.last_values += agent;
    if (truncated) {
      own.truncated += agent * steps;
      own.final_values += agent * steps;
    }
    return own;
  }
};

template <typename T>
void GaeOfAgent(const GaeInput<T>& in, T* advantages, T* returns) {
  double next_advantage = 0, next_value = *in.last_values, next_done = *in.last_done;
  for (int64_t t = in.steps - 1; t >= 0; --t) {
    const double value = in.values[t];
    // A branch, not a factor 1 - done: what follows an episode's end must not count even when it is
    // not finite.
    double delta = in.rewards[t] - value;
    double tail = 0;
    if (in.truncated && in.truncated[t] != 0) {
      delta += in.gamma * in.final_values[t];
    } else if (next_done == 0) {
      delta += in.gamma * next_value;
      tail = in.gamma * in.lambda * next_advantage;
    }
    const double advantage = delta + tail;
    advantages[t] = static_cast<T>(advantage);
    returns[t] = static_cast<T>(advantage + value);
    next_advantage = advantage;
    next_value = value;
    next_done = in.prev_done[t];
  }
}

}  // namespace mentor::learner
