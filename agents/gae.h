// Generalised advantage estimation of one segment (methods/ppo/README.md#advantages-and-returns).
// Pure; threads may share.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace mentor::agents {

// Episodes that a limit cut short, where these are not ends (both [S, T], or neither).
struct Truncations {
  torch::Tensor truncated;     // Not 0 where one was cut, after step t,
  torch::Tensor final_values;  // and the value of its last observation; else ignored.
};

struct Advantages {
  torch::Tensor advantages;  // [S, T] float64, on the CPU
  torch::Tensor returns;     // [S, T]: advantages + values
};

// rewards, values, prev_done [S, T]; last_done, last_values [S]; any dtype, summed in double from
// the last step back. The end of an episode has no bootstrap, and neither has the limit of steps
// (methods/ppo/README.md#reading-time-limit). Given truncations do: their step adds gamma times the
// final value, and the sum begins anew.
Advantages Gae(const torch::Tensor& rewards, const torch::Tensor& values,
               const torch::Tensor& prev_done, const torch::Tensor& last_done,
               const torch::Tensor& last_values, double gamma, double lambda,
               const Truncations& truncations = {});

// Advantages are linear in the rewards. Takes a gradient by the advantages [S, T] to the gradient
// by the rewards, [S, T] float64, on the CPU.
torch::Tensor GaeAdjoint(const torch::Tensor& advantages_grad, const torch::Tensor& prev_done,
                         double gamma, double lambda);

// Places values [S, K] of the packed final_observations at their steps: [S, T], 0 where nothing was
// truncated.
torch::Tensor AtTruncations(const torch::Tensor& values, const torch::Tensor& truncated);

// The same of one agent. T is the type of values and results; sums are doubles in any case.
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

}  // namespace mentor::agents
