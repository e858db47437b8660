// The layers of the attention signal network (methods/meta_gradient/README.md#signal-networks) in
// plain LibTorch, differentiable to any order. Attention stays within an episode. Short episodes
// are gathered into [episodes, longest episode], so no [T, T] map is made. Pure; threads may share.
#pragma once

#include <torch/types.h>

#include <optional>
#include <vector>

#include "agents/param_layout.h"

namespace mentor::signals {

struct AttentionSizes {
  struct Block {
    bool attends = true;               // Otherwise an MLP of each step,
    std::vector<int64_t> hidden = {};  // with these hidden layers.
  };
  int64_t inputs = 0;                   // F
  std::vector<int64_t> encoder_hidden;  // Layers of ReLU units; the last layer is linear.
  int64_t width = 32;                   // d
  int64_t heads = 1;                    // Each has width / heads columns.
  std::vector<Block> blocks;
  // Layers of ReLU units; unset: the output is the only feature itself.
  std::optional<std::vector<int64_t>> head_hidden;
  bool past_only = false;    // Steps attend to themselves and to earlier steps.
  bool residual_mlp = true;  // LayerNorm(h + mlp(h)); otherwise mlp(h), as published.
  bool bounded = true;       // tanh of the output.
  // The head also has a log-std and a value (methods/meta_gradient/README.md#attention-density).
  bool density = false;
  double initial_std = 0.5;

  int64_t outputs() const { return density ? 3 : 1; }
  agents::ParamLayout Layout() const;
};

// The episodes of a segment [S, T], or their parts inside it.
struct Episodes {
  struct Place {
    int64_t lifetime, first_step, length;
  };
  explicit Episodes(const torch::Tensor& prev_done);

  std::vector<Place> places;  // [E]: by lifetime, then by time.
  int64_t longest = 0;        // L
  torch::Tensor steps;        // [E L] int64: index in [S T] of each step; 0 for padding.
  torch::Tensor padded;       // [E, 1, 1, L] bool: true for padding.
  torch::Tensor back;         // [S T] int64: index in [E L] of each step.
};

struct AttentionOutputs {
  torch::Tensor embedding;  // [S, T, d]: after the encoder,
  torch::Tensor features;   // [S, T, d]: after the last block.
  torch::Tensor signals;    // [S, T]: the means, with a density
  torch::Tensor log_stds;   // [S, T]: defined with a density
  torch::Tensor values;     // [S, T]: defined with a density
  // [E, heads, L, L] of each attention block; columns of padding are 0.
  std::vector<torch::Tensor> maps;
};

// Fills *outputs from the head's output [S, T, outputs].
void ReadHead(const AttentionSizes& sizes, const torch::Tensor& head, AttentionOutputs* outputs);

// weights: layout.Split of [P]. x: [S, T, F] in their dtype.
AttentionOutputs RunAttention(const AttentionSizes& sizes,
                              const std::vector<torch::Tensor>& weights, const torch::Tensor& x,
                              const Episodes& episodes);

}  // namespace mentor::signals
