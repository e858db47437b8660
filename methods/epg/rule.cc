// Evolved policy gradients (Houthooft et al. 2018; methods/epg/README.md): evolution strategies on
// the loss that agents descend.
#include <absl/strings/str_format.h>

#include "methods/shared/evolution_strategies.h"

namespace mentor::methods::epg_rule {
namespace {

const auto kOptions = EvolutionOptions(
    {.learning_rate = "0.01", .adam_beta1 = "0", .weight_decay = "0.001", .anneal = "0.5"});

const RegisterRule kEpg({
    .name = "epg",
    .summary = "A learned loss, by evolution strategies on what agents achieve with it (EPG)",
    .inner_loop = "evolved_loss",
    .options = kOptions.table(),
    .metrics = EvolutionMetrics(),
    .example = "signal { name: 'loss_conv' role: LOSS option { name: 'buffer' value: '4000' } } "
               "rule { shard_lifetimes: 16 }",
    .check =
        [](const RuleContext& context, Violations* violations) {
          CheckEvolution(context, violations);
          if (const uint32_t size = context.spec.rule().shard_lifetimes(); size % 2 != 0) {
            violations->Add(
                "rule.shard_lifetimes",
                absl::StrFormat("is %d; a shard has whole pairs: give an even number", size));
          }
        },
    .make =
        [](const RuleContext& context) {
          return MakeEvolutionRule(context, kOptions.Read(context.options));
        },
});

}  // namespace
}  // namespace mentor::methods::epg_rule
