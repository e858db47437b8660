// Response gradients with conditional layer normalisation (Zhang, Stadie and Ba; STN of MacKay et
// al.; docs/algorithms/response_gradient.md): the agents' policies see eta, the last weights of the
// signal network, so the task return is differentiated with respect to eta directly, without going
// through the agents' learning. What is computed where: learner/inner_loops/response_gradient.cc;
// here the shards' answers become a step. An outer update is one inner iteration of agents that
// live on.
#include <torch/types.h>

#include <utility>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "learner/agents/adam.h"
#include "meta_learner/rules/outer_rule.h"

namespace mentor::meta_learner {
namespace {

using torch::Tensor;

class ResponseGradient : public OuterRule {
 public:
  ResponseGradient(const RuleContext& context, const OptionValues& options)
      : local_(options.Choice("outer_steps") == "local"),
        second_order_(options.Number("w12") != 0 || options.Number("w13") != 0),
        lifetimes_(context.spec.rule().lifetimes_per_update()) {
    adam_.learning_rate = options.Number("learning_rate");
    adam_.max_grad_norm = options.Number("max_grad_norm");
    state_ = learner::NewAgents(context.network->InitialWeights(context.spec.seed()).unsqueeze(0));
  }

  RuleNeeds needs() const override {
    return {.decisions_inside_lifetime = true,
            .second_order = second_order_,
            .conditioned_policy = true,
            .segments = false};
  }
  Tensor meta_parameters() const override { return state_.theta[0]; }

  TensorMap Save() const override {
    return {{"weights", state_.theta[0].clone()},
            {"adam.m", state_.adam_m[0].clone()},
            {"adam.v", state_.adam_v[0].clone()},
            {"adam.step", state_.adam_steps.clone()}};
  }

  absl::Status Load(const TensorMap& state) override {
    const auto read = [&](const char* name, const Tensor& like) {
      return learner::ReadTensor(state, name, like.sizes(), like.scalar_type(), "the rule");
    };
    learner::AgentBatch loaded;
    MENTOR_ASSIGN_OR_RETURN(loaded.theta, read("weights", state_.theta[0]));
    MENTOR_ASSIGN_OR_RETURN(loaded.adam_m, read("adam.m", state_.adam_m[0]));
    MENTOR_ASSIGN_OR_RETURN(loaded.adam_v, read("adam.v", state_.adam_v[0]));
    MENTOR_ASSIGN_OR_RETURN(loaded.adam_steps, read("adam.step", state_.adam_steps));
    for (Tensor* tensor : {&loaded.theta, &loaded.adam_m, &loaded.adam_v})
      *tensor = tensor->unsqueeze(0);
    state_ = std::move(loaded);
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<RuleReport> DoUpdate(const LifetimeBatch& batch, uint32_t) override {
    if (local_ && batch.shards.size() != 1) {
      return absl::InvalidArgumentError(
          absl::StrFormat("the outer update has %d shards, expected one", batch.shards.size()));
    }
    MENTOR_ASSIGN_OR_RETURN(const Tensor sum,
                            SumGradients(batch, lifetimes_, meta_parameters().numel()));
    if (!sum.defined()) return RuleReport{};  // Warm-up.
    if (local_) {
      // The learner took the steps; this is where they led.
      state_.theta = (state_.theta.to(torch::kFloat64) + sum.unsqueeze(0)).to(torch::kFloat32);
      return RuleReport{{"outer_step_norm", sum.norm().item<double>()}};
    }
    const Tensor mean = (sum / static_cast<double>(lifetimes_)).to(torch::kFloat32).unsqueeze(0);
    const Tensor norm = learner::GradNorm(mean);
    state_ =
        learner::OptimizerStep(state_, mean * learner::ClipScale(norm, adam_).unsqueeze(1), adam_);
    RuleReport report;
    ReportGradient(batch.shards, &report);
    return report;
  }

  // Fixed after construction.
  const bool local_, second_order_;
  const int64_t lifetimes_;
  learner::PpoConfig adam_;
  // Changed by Update and Load, as a whole or not at all. The only row is the weights.
  learner::AgentBatch state_;
};

MetricTable Metrics() {
  MetricTable metrics = GradientMetrics();  // With outer_steps one.
  metrics.push_back({.name = "outer_step_norm",
                     .help = "How far the weights moved (outer_steps local).",
                     .log_scale = true});
  return metrics;
}

const RegisterRule kResponseGradient({
    .name = "response_gradient",
    .summary = "The task return's gradient through policies conditioned on the signal network "
               "(Zhang, Stadie and Ba: STN)",
    .inner_loop = "response_gradient",
    .options = {},
    .metrics = Metrics(),
    // Steps by the learner need a single shard.
    .example = "signal { name: 'bottleneck' } "
               "rule { option { name: 'outer_steps' value: 'one' } }",
    .make = [](const RuleContext& context, const OptionValues& options,
               Violations* violations) -> std::unique_ptr<OuterRule> {
      if (context.network == nullptr) {
        violations->Add("signal",
                        "is missing; the rule trains a signal network: name 'bottleneck'");
        return nullptr;
      }
      if (context.network->conditioning_size() == 0) {
        violations->Add(
            "signal.name",
            absl::StrFormat("is '%s', which has no weights that a policy can be conditioned on; "
                            "the response-gradient rule needs 'bottleneck'",
                            context.spec.signal().name()));
        return nullptr;
      }
      return std::make_unique<ResponseGradient>(context, options);
    },
});

}  // namespace
}  // namespace mentor::meta_learner
