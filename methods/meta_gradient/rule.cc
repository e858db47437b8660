// Meta-gradient rules (methods/meta_gradient/README.md). LIRPG (Zheng, Oh and Singh 2018), SAIR
// (Jiang et al. 2021) and MetaIRN (Link et al. 2025) are one rule with the signal networks `mlp`
// and `attention`. So is the meta-gradient of gamma and lambda (Xu, van Hasselt and Silver 2018),
// with `discount`. Option bootstrap_steps gives bootstrapped meta-gradients (Flennerhag et al.
// 2022).
//
// After every inner iteration the learners send the gradient of the agents' extrinsic performance
// by the signal's weights, through the agents' own updates (methods/meta_gradient/loop.cc).
#include "methods/meta_gradient/loop.h"
#include "methods/shared/gradient_rule.h"

namespace mentor::methods::meta_gradient_rule {
namespace {

const auto kOptions = GradientRuleOptions(/*learning_rate=*/"1e-3", /*epsilon=*/"1e-5");

const RegisterRule kMetaGradient({
    .name = "meta_gradient",
    .summary = "Gradient through the agents' updates: LIRPG, SAIR, MetaIRN, gamma and lambda",
    .inner_loop = "meta_gradient",
    .options = kOptions.table(),
    .metrics = GradientRuleMetrics("the signal network"),
    .make = [](const RuleContext& context) -> std::unique_ptr<OuterRule> {
      return std::make_unique<GradientRule>(
          context, context.InitialNetwork(),
          RuleNeeds{.network = RuleNeeds::Network::kGradient,
                    .decisions_inside_lifetime = true,
                    .second_order = IsSecondOrder(context.options),
                    .segments = false},
          kOptions.Read(context.options));
    },
});

}  // namespace
}  // namespace mentor::methods::meta_gradient_rule
