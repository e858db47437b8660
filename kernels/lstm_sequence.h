// An LSTM layer along a piece of N lifetimes, with its gradient by hand: one matrix product and one
// element-wise pass per step. Generic in dtype, on the CPU, differentiable once. Pure; threads may
// share.
#pragma once

#include <torch/types.h>

namespace mentor::kernels {

struct LstmStates {
  torch::Tensor h;        // [t, N, H]: after each step
  torch::Tensor final_c;  // [N, H], without a graph
  torch::Tensor r;        // [t, N, H]: the fifth gate, without a graph; undefined without one
};

// How episodes enter the layer (methods/rl2/README.md#episodic-memory).
struct LstmEpisodes {
  // [t, N, H] without a graph: what a fifth gate r lets into the cell, c = i g + f c + r
  // reinstated. Undefined: there are four gates.
  torch::Tensor reinstated = {};
  // [t, N]: 1 where h and c are 0 before the step. Undefined: nowhere.
  torch::Tensor starts = {};
};

// gates_x [t, N, 4 H or 5 H]: the input's part of the gates i, f, g, o, r, with biases. w_hh [4 H
// or 5 H, H]. h, c [N, H] enter without a graph.
LstmStates LstmSequence(const torch::Tensor& gates_x, const torch::Tensor& w_hh,
                        const torch::Tensor& h, const torch::Tensor& c,
                        const LstmEpisodes& episodes = {});

}  // namespace mentor::kernels
