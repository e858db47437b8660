// Evolution strategies over signal networks (methods/evolution_strategies/README.md).
#include "methods/shared/evolution_strategies.h"

namespace mentor::methods::evolution_strategies_rule {
namespace {

const auto kOptions = EvolutionOptions(
    {.learning_rate = "0.01", .adam_beta1 = "0.9", .weight_decay = "0.005", .anneal = "0"});

const RegisterRule kEvolutionStrategies({
    .name = "evolution_strategies",
    .summary = "Perturbed signal networks, ranked by what their agents achieve (Salimans et al.)",
    .inner_loop = "perturbed_ppo",
    .options = kOptions.table(),
    .metrics = EvolutionMetrics(),
    .check = CheckEvolution,
    .make =
        [](const RuleContext& context) {
          return MakeEvolutionRule(context, kOptions.Read(context.options));
        },
});

}  // namespace
}  // namespace mentor::methods::evolution_strategies_rule
