// Weights that an outer rule trains with clipped gradients and Adam: the settings, the step, which
// has the same bits on every machine, and the way into checkpoints.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include <absl/status/status.h>

#include "common/options.h"
#include "learner/inner_loops/tensor_map.h"
#include "learner/kernels/optimizer.h"

namespace mentor::meta_learner {

// learning_rate, adam_beta1, adam_beta2 and adam_epsilon, with these defaults as text.
OptionTable AdamOptions(const std::string& learning_rate, const std::string& epsilon,
                        const std::string& beta1 = "0.9");
learner::AdamConfig ReadAdam(const OptionValues& options);

struct AdamState {
  torch::Tensor m;   // [P]
  torch::Tensor v;   // [P]
  int64_t step = 0;  // Steps made.
};

// Norm of a gradient [P] in its own dtype, in a fixed order of sums.
double GradientNorm(const torch::Tensor& gradient);

// Clips the gradient by its norm over all weights (unset: not at all) and makes one step of Adam.
// gradient, weights and moments are [P] of one dtype; weights and *adam change in place.
void ClipAndStep(const learner::AdamConfig& config, std::optional<double> max_grad_norm,
                 const torch::Tensor& gradient, torch::Tensor weights, AdamState* adam);

// Into and out of a rule's state under "weights" and "adam.". An error changes nothing; *weights
// gives the shape.
learner::TensorMap SaveTrained(const torch::Tensor& weights, const AdamState& adam);
absl::Status LoadTrained(const learner::TensorMap& state, torch::Tensor* weights, AdamState* adam);

}  // namespace mentor::meta_learner
