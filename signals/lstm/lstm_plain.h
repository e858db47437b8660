// The LSTM signal network in plain LibTorch operations: on any device, differentiable to any order.
// Tests and benchmarks compare with it. Pure; threads may share.
#pragma once

#include <torch/types.h>

#include <vector>

#include "agents/param_layout.h"
#include "kernels/lstm_weights.h"
#include "signals/signal_network.h"

namespace mentor::signals {

struct LstmPlain {
  kernels::LstmSizes sizes;
  agents::ParamLayout layout;
  double initial_std = 0.2;
  bool normalises = false;  // Its observations have scale 1.

  // A step's recorded input. With sizes.both its last number tells where the LSTM that runs
  // backward begins anew (methods/black_box/README.md#lstm_both).
  int64_t recorded() const { return sizes.features + (sizes.both ? 1 : 0); }
  // What the LSTMs read of recorded inputs [S, t + a, recorded()] of a piece of t steps and the a
  // steps after it. Forward: [S, t, features]. Backward: [S, a + t, features], in its order.
  torch::Tensor Forward(const torch::Tensor& recorded, int64_t steps) const;
  torch::Tensor Backward(const torch::Tensor& recorded) const;

  // features [S, T, recorded()] with 0 as previous signal. Like SignalSource::Run, step by step,
  // with a graph back to weights that require it.
  SignalOutputs Run(const torch::Tensor& weights, const torch::Tensor& features,
                    const torch::Tensor& noise, SignalState* state) const;
  // Like SignalDensity::Evaluate.
  SignalEvaluation Evaluate(const torch::Tensor& weights, const torch::Tensor& features,
                            const torch::Tensor& signals,
                            const std::vector<torch::Tensor>& recurrent) const;
};

}  // namespace mentor::signals
