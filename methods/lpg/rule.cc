// The learned policy gradient as an outer rule (Oh et al. 2020; methods/lpg/README.md). An outer
// update is one inner iteration of agents that live on; the last of a window moves the network.
#include <absl/strings/str_format.h>

#include "methods/lpg/loop.h"
#include "methods/shared/gradient_rule.h"

namespace mentor::methods::lpg_rule {
namespace {

const auto kOptions = GradientRuleOptions(/*learning_rate=*/"1e-4", /*epsilon=*/"1e-8");

// A life that ends no window teaches nothing. Evaluations may have such lives.
void CheckWindow(const RuleContext& context, Violations* violations) {
  const int64_t updates = ReadLpg(context.options, context.spec, context.shape).updates;
  if (context.outer_updates() == 0 || context.iterations() > updates) return;
  violations->Add("lifetime.iterations",
                  absl::StrFormat("is %d; the network moves after %d updates of an agent "
                                  "(rule.option.updates) and one more iteration: use at least %d, "
                                  "or fewer updates",
                                  context.iterations(), updates, updates + 1));
}

const RegisterRule kLpg({
    .name = "lpg",
    .summary = "A learned update of policy and predictions, by its gradient through the updates "
               "(Oh et al.: LPG)",
    .inner_loop = "lpg",
    .options = kOptions.table(),
    .metrics = GradientRuleMetrics("the learned update"),
    .example = "benchmark { name: 'single' environment: 'grid_world' option { name: 'level' value: "
               "'rand_tiny' } } lifetime { iterations: 6 steps_per_iteration: 100 } "
               "evaluation { goals: 4 }",
    .check = CheckWindow,
    .make = [](const RuleContext& context) -> std::unique_ptr<OuterRule> {
      const LpgSizes sizes = ReadLpg(context.options, context.spec, context.shape).sizes;
      return std::make_unique<GradientRule>(
          context,
          context.Initial(LpgLayout(sizes).size(),
                          [&] { return InitialLpg(sizes, context.spec.seed()); }),
          RuleNeeds{.network = RuleNeeds::Network::kNone,
                    .decisions_inside_lifetime = true,
                    .second_order = true,
                    .segments = false},
          kOptions.Read(context.options));
    },
});

}  // namespace
}  // namespace mentor::methods::lpg_rule
