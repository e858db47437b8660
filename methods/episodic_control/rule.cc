// Episodic control (methods/episodic_control/README.md): agents that learn by remembering. As an
// outer rule they can be measured beside the others. Nothing is meta-learned: the meta-parameters
// are one zero, and outer updates only let the agents live on.
#include <torch/types.h>

#include "methods/base/outer_rule.h"

namespace mentor::methods::episodic_control_rule {
namespace {

class EpisodicControl : public OuterRule {
 public:
  using OuterRule::OuterRule;

  RuleNeeds needs() const override {
    return {.network = RuleNeeds::Network::kNone,
            .decisions_inside_lifetime = true,
            .segments = false,
            .meta_learns = false};
  }
  torch::Tensor meta_parameters() const override { return nothing_; }

  void State(StateFields* fields) override { fields->Add("weights", &nothing_); }

 private:
  torch::Tensor nothing_ = torch::zeros({1});
};

const RegisterRule kEpisodicControl({
    .name = "episodic_control",
    .summary = "Agents that act on remembered returns; nothing is meta-learned (Blundell et al.; "
               "Pritzel et al.)",
    .inner_loop = "episodic_control",
    .options = {},
    .example = "benchmark { name: 'single' environment: 'maze' }",
    .make = MadeRule<EpisodicControl>,
});

}  // namespace
}  // namespace mentor::methods::episodic_control_rule
