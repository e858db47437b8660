// Weights that an outer rule trains with clipped gradients and Adam: settings, the step, which has
// the same bits on every machine, and their place in checkpoints.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "common/options.h"
#include "kernels/optimizer.h"
#include "methods/base/outer_rule.h"

namespace mentor::methods {

// learning_rate, adam_beta1, adam_beta2 and adam_epsilon, with these defaults as text.
BoundOptions<kernels::AdamConfig> AdamOptions(const std::string& learning_rate,
                                              const std::string& epsilon,
                                              const std::string& beta1 = "0.9");

// Share of a run's outer updates within which the learning rate falls in a line to a tenth; 0: it
// stays. Help of an option `anneal` from 0 to 1.
extern const char kAnnealHelp[];
// The settings of outer update `outer_step` (from 0) of `outer_updates`.
kernels::AdamConfig Annealed(kernels::AdamConfig adam, double anneal, uint32_t outer_step,
                             uint32_t outer_updates);

struct AdamState {
  torch::Tensor m;   // [P]
  torch::Tensor v;   // [P]
  int64_t step = 0;  // Steps made.
};

// Norm of a gradient [P] in its own dtype, in a fixed order of sums.
double GradientNorm(const torch::Tensor& gradient);

// Clips the gradient by its norm over all weights (unset: not at all) and makes one step of Adam.
// gradient, weights and moments are [P] of one dtype. Changes weights and *adam in place.
void ClipAndStep(const kernels::AdamConfig& config, std::optional<double> max_grad_norm,
                 const torch::Tensor& gradient, torch::Tensor weights, AdamState* adam);

// A rule whose meta-parameters are such weights, and whose state is they and Adam's.
class TrainedRule : public OuterRule {
 public:
  TrainedRule(const RuleContext& context, torch::Tensor weights);
  torch::Tensor meta_parameters() const override { return weights_; }
  void State(StateFields* fields) override;

 protected:
  // Update and Load change both or neither. Tensors are replaced, never written to.
  torch::Tensor weights_;  // [P] float32
  AdamState adam_;
};

}  // namespace mentor::methods
