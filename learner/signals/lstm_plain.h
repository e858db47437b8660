// The LSTM signal network in plain LibTorch operations: on any device, differentiable to any order,
// and the independent second opinion of tests and benchmarks. Pure; threads may share.
#pragma once

#include <torch/types.h>

#include <vector>

#include "learner/agents/param_layout.h"
#include "learner/kernels/lstm_weights.h"
#include "learner/signals/signal_network.h"

namespace mentor::learner {

struct LstmPlain {
  LstmSizes sizes;
  ParamLayout layout;
  double initial_std = 0.2;

  // features [S, T, features] with 0 as previous signal. As SignalNetwork::Run, step by step, but
  // with the graph back to the weights if they want one.
  SignalOutputs Run(const torch::Tensor& weights, const torch::Tensor& features,
                    const torch::Tensor& noise, SignalState* state) const;
  // As SignalNetwork::Evaluate.
  SignalEvaluation Evaluate(const torch::Tensor& weights, const torch::Tensor& features,
                            const torch::Tensor& signals,
                            const std::vector<torch::Tensor>& recurrent) const;
};

}  // namespace mentor::learner
