// An LSTM layer along a piece of N lifetimes, with its gradient by hand: one matrix product and one
// pass of element-wise arithmetic a step. Generic in dtype, on the CPU, differentiable once. Pure;
// threads may share.
#pragma once

#include <torch/types.h>

namespace mentor::learner {

struct LstmStates {
  torch::Tensor h;        // [t, N, H]: after each step
  torch::Tensor final_c;  // [N, H], without a graph
};

// gates_x [t, N, 4 H]: what the input gives to the gates i, f, g, o, biases included.
// w_hh [4 H, H]. h, c [N, H] enter, without a graph.
LstmStates LstmSequence(const torch::Tensor& gates_x, const torch::Tensor& w_hh,
                        const torch::Tensor& h, const torch::Tensor& c);

}  // namespace mentor::learner
