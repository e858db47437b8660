#include "methods/shared/gradient_rule.h"

#include <absl/strings/str_cat.h>

namespace mentor::methods {

using torch::Tensor;

BoundOptions<GradientRuleConfig> GradientRuleOptions(const std::string& learning_rate,
                                                     const std::string& epsilon) {
  using Config = GradientRuleConfig;
  return Bind<Config>({{&Config::step, AdamOptions(learning_rate, epsilon)},
                       {&Config::anneal, "anneal", "0", 0, 1, kAnnealHelp},
                       {&Config::max_grad_norm, "max_grad_norm", "0.5", 1e-30, 1e30,
                        "Greatest norm of the outer gradient, the mean over the agents."}});
}

MetricTable GradientRuleMetrics(const std::string& moved) {
  MetricTable metrics = GradientMetrics();
  metrics.push_back({.name = "outer_step_norm",
                     .help = absl::StrCat("How far the weights of ", moved, " moved."),
                     .log_scale = true});
  return metrics;
}

absl::StatusOr<RuleReport> GradientRule::DoUpdate(const LifetimeBatch& batch, uint32_t outer_step) {
  MENTOR_ASSIGN_OR_RETURN(const Tensor sum,
                          SumGradients(batch, context_.lifetimes(), weights_.numel()));
  // Some inner iterations give no gradient, such as the first of new agents.
  if (!sum.defined()) return RuleReport{};
  RuleReport report;
  const Tensor mean = ReportGradient(batch.shards, &report);
  const Tensor before = weights_;
  weights_ = weights_.clone();
  ClipAndStep(Annealed(config_.step, config_.anneal, outer_step, context_.outer_updates()),
              config_.max_grad_norm, mean.to(torch::kFloat32), weights_, &adam_);
  report["outer_step_norm"] = (weights_ - before).norm().item<double>();
  return report;
}

}  // namespace mentor::methods
