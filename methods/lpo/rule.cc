// Learnt policy optimisation (Lu et al. 2022; methods/lpo/README.md): evolution strategies on the
// drift that bounds how agents change their policies.
#include <string>

#include <absl/strings/str_format.h>

#include "methods/lpo/loop.h"
#include "methods/shared/evolution_strategies.h"

namespace mentor::methods::lpo_rule {
namespace {

const auto kOptions = Bind<EvolutionSettings>(
    {{kItself,
      EvolutionOptions(
          {.learning_rate = "0.01", .adam_beta1 = "0.99", .weight_decay = "0", .anneal = "0"})},
     {&EvolutionSettings::rate, DecayOptions("learning_rate", "0.999", "0.001")},
     {&EvolutionSettings::standard_scores,
      "scores",
      {{"standard", true}, {"ranks", false}},
      "How a perturbation counts: by its agents' fitness less the mean, over the deviation, or by "
      "its place."}});

const RegisterRule kLpo({
    .name = "lpo",
    .summary = "A learned drift in place of PPO's clip, by evolution strategies (LPO)",
    .inner_loop = "drifting_ppo",
    .options = kOptions.table(),
    .metrics = EvolutionMetrics(),
    .example = "signal { name: 'drift' }",
    .check =
        [](const RuleContext& context, Violations* violations) {
          CheckEvolution(context, violations);
          // A drift that cannot be made has another network in its place, and is named already.
          if (const std::string& name = context.spec.signal().name(); name != "drift") {
            violations->Add("signal.name",
                            absl::StrFormat("is %s, which is no drift: set drift", name));
          }
        },
    .make =
        [](const RuleContext& context) {
          EvolutionSettings settings = kOptions.Read(context.options);
          settings.sigma = DriftNoiseOptions().Read(context.options).decay;
          return MakeEvolutionRule(context, settings);
        },
});

}  // namespace
}  // namespace mentor::methods::lpo_rule
