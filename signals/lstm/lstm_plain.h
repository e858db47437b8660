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

  // features [S, T, features] with 0 as previous signal. Like SignalSource::Run, step by step,
  // with a graph back to weights that require it.
  SignalOutputs Run(const torch::Tensor& weights, const torch::Tensor& features,
                    const torch::Tensor& noise, SignalState* state) const;
  // Like SignalDensity::Evaluate.
  SignalEvaluation Evaluate(const torch::Tensor& weights, const torch::Tensor& features,
                            const torch::Tensor& signals,
                            const std::vector<torch::Tensor>& recurrent) const;
};

}  // namespace mentor::signals
