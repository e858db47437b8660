// A rule whose learners send the gradient of what agents achieve by the meta-parameters, inside
// their lives: one clipped step of Adam on its mean over the agents.
#pragma once

#include <torch/types.h>

#include "common/options.h"
#include "kernels/optimizer.h"
#include "methods/shared/trained_weights.h"

namespace mentor::methods {

struct GradientRuleConfig {
  kernels::AdamConfig step;
  double max_grad_norm, anneal;
};

// The options of AdamOptions, anneal and max_grad_norm.
BoundOptions<GradientRuleConfig> GradientRuleOptions(const std::string& learning_rate,
                                                     const std::string& epsilon);
// `moved` says whose weights a step moves: "the signal network".
MetricTable GradientRuleMetrics(const std::string& moved);

class GradientRule : public TrainedRule {
 public:
  GradientRule(const RuleContext& context, torch::Tensor weights, const RuleNeeds& needs,
               const GradientRuleConfig& config)
      : TrainedRule(context, std::move(weights)), needs_(needs), config_(config) {}

  RuleNeeds needs() const override { return needs_; }

 private:
  absl::StatusOr<RuleReport> DoUpdate(const LifetimeBatch& batch, uint32_t outer_step) override;

  const RuleNeeds needs_;
  const GradientRuleConfig config_;
};

}  // namespace mentor::methods
