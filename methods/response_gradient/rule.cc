// Response gradients with conditional layer normalisation (Zhang, Stadie and Ba; STN of MacKay et
// al.; methods/response_gradient/README.md). The agents' policies see eta, the last weights of the
// signal network. The task return is differentiated by eta directly, not through the agents'
// learning. methods/response_gradient/loop.cc computes the gradients; here they become a step. An
// outer update is one inner iteration of agents that live on.
#include <torch/types.h>

#include <absl/strings/str_format.h>

#include "agents/adam.h"
#include "common/check.h"
#include "methods/base/outer_rule.h"
#include "methods/response_gradient/conditioned_policy.h"
#include "methods/response_gradient/loop.h"

namespace mentor::methods::response_gradient_rule {
namespace {

using torch::Tensor;

class ResponseGradient : public OuterRule {
 public:
  explicit ResponseGradient(const RuleContext& context) : OuterRule(context) {
    const auto agents = ReadResponseGradient(context.spec.agent(), context.options);
    local_ = agents.local;
    second_order_ = agents.through_round();
    adam_.learning_rate = agents.outer.learning_rate;
    adam_.max_grad_norm = agents.outer.max_grad_norm;
    state_ = agents::NewAgents(context.InitialNetwork().unsqueeze(0));
  }

  RuleNeeds needs() const override {
    return {.network = RuleNeeds::Network::kConditioning,
            .decisions_inside_lifetime = true,
            .second_order = second_order_,
            .segments = false};
  }
  Tensor meta_parameters() const override { return state_.theta[0]; }

  void State(StateFields* fields) override {
    AddRow("weights", &state_.theta, fields);
    AddRow("adam.m", &state_.adam_m, fields);
    AddRow("adam.v", &state_.adam_v, fields);
    fields->Add("adam.step", &state_.adam_steps);
  }

 private:
  // [1, P] here, [P] in checkpoints.
  static void AddRow(const std::string& name, Tensor* row, StateFields* fields) {
    fields->Add(
        name, [row] { return (*row)[0]; },
        [row](const Tensor& loaded) { *row = loaded.unsqueeze(0); });
  }

  absl::StatusOr<RuleReport> DoUpdate(const LifetimeBatch& batch, uint32_t) override {
    if (local_ && batch.shards.size() != 1) {
      return absl::InvalidArgumentError(
          absl::StrFormat("the outer update has %d shards, expected one", batch.shards.size()));
    }
    MENTOR_ASSIGN_OR_RETURN(const Tensor sum,
                            SumGradients(batch, context_.lifetimes(), meta_parameters().numel()));
    if (!sum.defined()) return RuleReport{};  // Warm-up.
    if (local_) {
      // The learner made the steps and sends their sum.
      state_.theta = (state_.theta.to(torch::kFloat64) + sum.unsqueeze(0)).to(torch::kFloat32);
      return RuleReport{{"outer_step_norm", sum.norm().item<double>()}};
    }
    const Tensor mean =
        (sum / static_cast<double>(context_.lifetimes())).to(torch::kFloat32).unsqueeze(0);
    state_ = agents::ClippedStep(state_, mean, adam_);
    RuleReport report;
    ReportGradient(batch.shards, &report);
    return report;
  }

  // Fixed after construction.
  bool local_ = false, second_order_ = false;
  agents::PpoConfig adam_;
  // Update and Load change all of it or nothing. Its only row is the weights.
  agents::AgentBatch state_;
};

MetricTable Metrics() {
  MetricTable metrics = GradientMetrics();  // Only with outer_steps one.
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
    // The learner can make steps only of a single shard.
    .example = "signal { name: 'bottleneck' } "
               "rule { option { name: 'outer_steps' value: 'one' } }",
    .check =
        [](const RuleContext& context, Violations* violations) {
          if (context.network == nullptr) {
            violations->Add("signal",
                            "is missing; the rule trains a signal network: name 'bottleneck'");
          } else if (ConditioningSize(context.network.get()) == 0) {
            violations->Add("signal.name",
                            absl::StrFormat("is '%s', which has no weights that a policy can be "
                                            "conditioned on; the response-gradient rule needs "
                                            "'bottleneck'",
                                            context.spec.signal().name()));
          }
        },
    .make = MadeRule<ResponseGradient>,
});

}  // namespace
}  // namespace mentor::methods::response_gradient_rule
