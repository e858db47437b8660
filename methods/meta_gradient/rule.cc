// Meta-gradient rules (methods/meta_gradient/README.md). LIRPG (Zheng, Oh and Singh 2018), SAIR
// (Jiang et al. 2021) and MetaIRN (Link et al. 2025) are one rule with the signal networks `mlp`
// and `attention`. So is the meta-gradient of gamma and lambda (Xu, van Hasselt and Silver 2018),
// with `discount`. Option bootstrap_steps gives bootstrapped meta-gradients (Flennerhag et al.
// 2022).
//
// After every inner iteration the learners send the gradient of the agents' extrinsic performance
// by the signal's weights, through the agents' own updates (methods/meta_gradient/loop.cc). The
// rule makes one step of Adam on its mean over the agents.
#include <torch/types.h>

#include "common/check.h"
#include "methods/base/outer_rule.h"
#include "methods/meta_gradient/loop.h"
#include "methods/shared/outer_ppo_rule.h"

namespace mentor::methods {
namespace {

using torch::Tensor;

struct Config {
  kernels::AdamConfig step;
  double max_grad_norm, anneal;
};

const auto kOptions =
    Bind<Config>({{&Config::step, AdamOptions("1e-3", "1e-5")},
                  {&Config::anneal, "anneal", "0", 0, 1, kAnnealHelp},
                  {&Config::max_grad_norm, "max_grad_norm", "0.5", 1e-30, 1e30,
                   "Greatest norm of the outer gradient, the mean over the agents."}});

class MetaGradient : public TrainedRule {
 public:
  explicit MetaGradient(const RuleContext& context)
      : TrainedRule(context, context.InitialNetwork()), config_(kOptions.Read(context.options)) {}

  RuleNeeds needs() const override {
    return {.network = RuleNeeds::Network::kGradient,
            .decisions_inside_lifetime = true,
            .second_order = IsSecondOrder(context_.options),
            .segments = false};
  }

 private:
  absl::StatusOr<RuleReport> DoUpdate(const LifetimeBatch& batch, uint32_t outer_step) override {
    MENTOR_ASSIGN_OR_RETURN(const Tensor sum,
                            SumGradients(batch, context_.lifetimes(), weights_.numel()));
    // With fresh outer data the first iteration of new agents gives no gradient.
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

  const Config config_;
};

MetricTable Metrics() {
  MetricTable metrics = GradientMetrics();
  metrics.push_back({.name = "outer_step_norm",
                     .help = "How far the weights of the signal network moved.",
                     .log_scale = true});
  return metrics;
}

const RegisterRule kMetaGradient({
    .name = "meta_gradient",
    .summary = "Gradient through the agents' updates: LIRPG, SAIR, MetaIRN, gamma and lambda",
    .inner_loop = "meta_gradient",
    .options = kOptions.table(),
    .metrics = Metrics(),
    .make = MadeRule<MetaGradient>,
});

}  // namespace
}  // namespace mentor::methods
