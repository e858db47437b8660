// The network of the learned policy gradient (Oh et al. 2020; methods/lpg/README.md#the-network).
// An LSTM reads a piece of a trajectory from its end to its begin. It says of each step how the
// agent should change. Its weights are the meta-parameters. Pure functions, generic in dtype;
// threads may share.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "agents/param_layout.h"

namespace mentor::methods {

struct LpgSizes {
  int64_t predictions = 30;  // m: numbers of the categorical y
  int64_t embedding = 16;    // Hidden units of phi, which makes a number of y.
  int64_t lstm = 256;
  int64_t unroll = 20;  // W: steps of a piece
};

// What S agents met in the segment of one update.
struct LpgSteps {
  torch::Tensor observations;  // [S, T, D]
  torch::Tensor actions;       // [S, T, A]
  torch::Tensor rewards;       // [S, T]
  torch::Tensor dones;         // [S, T]: 1 where the episode ended with the step
  // By theta before the update: constants in every derivative
  // (methods/lpg/README.md#reading-lpg-constants).
  torch::Tensor probs;  // [S, T]: of the actions
  torch::Tensor y;      // [S, T + 1, m]: predictions before each step, and after the last

  LpgSteps Agents(int64_t first, int64_t count) const;
};

struct LpgOutputs {
  torch::Tensor pi_hat;     // [S, T]
  torch::Tensor log_y_hat;  // [S, T, m]
};

agents::ParamLayout LpgLayout(const LpgSizes& sizes);
// [Q] float32: orthogonal matrices, biases 0, but 1 for the forget gate.
torch::Tensor InitialLpg(const LpgSizes& sizes, uint64_t seed);
// What the network says of the pieces of the segment; W divides T. gamma: the agents' discount.
// weights [Q]; differentiable in all of them.
LpgOutputs Ask(const LpgSizes& sizes, double gamma, const torch::Tensor& weights,
               const LpgSteps& steps);
// Numbers of a step's forward pass with its graph.
int64_t LpgNumbersPerStep(const LpgSizes& sizes);

}  // namespace mentor::methods
