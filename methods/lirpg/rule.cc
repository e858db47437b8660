// LIRPG as its authors released it (Zheng, Oh and Singh 2018; README.md): the reward network takes
// one optimizer step for each of the agents'. The learner makes these steps (loop.cc); here they
// are added to the weights. An outer update is one inner iteration of agents that live on.
#include <torch/types.h>

#include <absl/strings/str_format.h>

#include "methods/base/outer_rule.h"
#include "methods/lirpg/loop.h"

namespace mentor::methods::lirpg_rule {
namespace {

using torch::Tensor;

class Lirpg : public OuterRule {
 public:
  explicit Lirpg(const RuleContext& context)
      : OuterRule(context), weights_(context.InitialNetwork()) {}

  RuleNeeds needs() const override {
    return {.network = RuleNeeds::Network::kGradient,
            .decisions_inside_lifetime = true,
            .second_order = true,
            .segments = false};
  }
  Tensor meta_parameters() const override { return weights_; }
  void State(StateFields* fields) override { fields->Add("weights", &weights_); }

 private:
  absl::StatusOr<RuleReport> DoUpdate(const LifetimeBatch& batch, uint32_t) override {
    if (batch.shards.size() != 1) {
      return absl::InvalidArgumentError(
          absl::StrFormat("the outer update has %d shards, expected one", batch.shards.size()));
    }
    // Shards send sums over their lifetimes; a single one sends how far its learner went.
    MENTOR_ASSIGN_OR_RETURN(const Tensor moved,
                            SumGradients(batch, context_.lifetimes(), weights_.numel()));
    if (!moved.defined()) return RuleReport{};  // Nothing is learned beside the agents.
    weights_ = (weights_.to(torch::kFloat64) + moved).to(torch::kFloat32);
    return RuleReport{{"outer_step_norm", moved.norm().item<double>()}};
  }

  Tensor weights_;  // [Q] float32; replaced, never written to
};

const RegisterRule kLirpg({
    .name = "lirpg",
    .summary = "A reward that is learned minibatch by minibatch beside its agents (Zheng, Oh and "
               "Singh: LIRPG as released)",
    .inner_loop = "lirpg",
    .options = {},
    .metrics = {{.name = "outer_step_norm",
                 .help = "How far the weights of the reward network moved.",
                 .log_scale = true}},
    .example = "signal { name: 'mlp' } rule { shard_lifetimes: 64 }",
    .check =
        [](const RuleContext& context, Violations* violations) {
          if (context.network == nullptr)
            violations->Add("signal", "is missing; the rule trains a reward network: name 'mlp'");
        },
    .make = MadeRule<Lirpg>,
});

}  // namespace
}  // namespace mentor::methods::lirpg_rule
