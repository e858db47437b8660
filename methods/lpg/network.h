// The network of the learned policy gradient (Oh et al. 2020; methods/lpg/README.md#the-network).
// An LSTM reads a piece of a trajectory from its end to its begin. It says of each step how the
// agent should change. Its weights are the meta-parameters. Immutable; generic in dtype; threads
// may share.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "agents/param_layout.h"

namespace mentor::methods {

struct LpgSizes {
  int64_t predictions = 30;  // m: numbers of the categorical y
  int64_t embedding = 16;    // Hidden units of phi, which makes a number of y.
  int64_t lstm = 256;
};

// R pieces of W steps.
struct LpgInputs {
  torch::Tensor rewards;  // [R, W]
  torch::Tensor dones;    // [R, W]: 1 where the episode ended with the step
  torch::Tensor probs;    // [R, W]: the agent's probability of its action
  torch::Tensor y;        // [R, W + 1, m]: predictions before each step, and after the last
  double gamma = 0.99;    // The agent's discount.
};

struct LpgOutputs {
  torch::Tensor pi_hat;     // [R, W]
  torch::Tensor log_y_hat;  // [R, W, m]
};

class LpgNetwork {
 public:
  explicit LpgNetwork(const LpgSizes& sizes);

  const agents::ParamLayout& layout() const { return layout_; }
  // [Q] float32: orthogonal matrices, biases 0, but 1 for the forget gate.
  torch::Tensor InitialWeights(uint64_t seed) const;
  // weights [Q]. Differentiable in all of them.
  LpgOutputs Forward(const torch::Tensor& weights, const LpgInputs& inputs) const;
  // Numbers of a step's forward pass with its graph.
  int64_t NumbersPerStep() const;

 private:
  const LpgSizes sizes_;
  const agents::ParamLayout layout_;
};

}  // namespace mentor::methods
