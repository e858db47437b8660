// Episodic control (docs/algorithms/episodic_control.md): agents that learn by remembering, under
// the protocol of the outer rules, so that they can be measured beside them. Nothing is
// meta-learned: the meta-parameters are one zero, and outer updates only let the agents live on.
#include <torch/types.h>

#include "common/check.h"
#include "meta_learner/rules/outer_rule.h"

namespace mentor::meta_learner {
namespace {

class EpisodicControl : public OuterRule {
 public:
  RuleNeeds needs() const override {
    return {.signal_network = false, .decisions_inside_lifetime = true, .segments = false};
  }
  torch::Tensor meta_parameters() const override { return nothing_; }

  TensorMap Save() const override { return {{"weights", nothing_}}; }
  absl::Status Load(const TensorMap& state) override {
    return learner::ReadTensor(state, "weights", nothing_.sizes(), torch::kFloat32, "the rule")
        .status();
  }

 private:
  absl::StatusOr<RuleReport> DoUpdate(const LifetimeBatch&, uint32_t) override {
    return RuleReport();
  }

  const torch::Tensor nothing_ = torch::zeros({1});
};

const RegisterRule kEpisodicControl({
    .name = "episodic_control",
    .summary = "Agents that act on remembered returns; nothing is meta-learned (Blundell et al.; "
               "Pritzel et al.)",
    .inner_loop = "episodic_control",
    .options = {},
    .example = "benchmark { name: 'single' environment: 'maze' }",
    .make = [](const RuleContext&, const OptionValues&, Violations*) -> std::unique_ptr<OuterRule> {
      return std::make_unique<EpisodicControl>();
    },
});

}  // namespace
}  // namespace mentor::meta_learner
