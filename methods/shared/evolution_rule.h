// The outer rule of evolution strategies (methods/evolution_strategies/README.md). What is varied
// may be a signal network or a learned loss.
#pragma once

#include <memory>
#include <string>

#include "methods/base/outer_rule.h"
#include "methods/shared/evolution_strategies.h"

namespace mentor::meta_learner {

struct EvolutionSettings {
  EvolutionConfig config = {};  // sigma is an option of the inner loop.
  double anneal = 0;            // See Annealed.
  bool success = false;         // Fitness: the sum of success signals, not of shaped rewards.
  bool paired = true;  // The two lifetimes of a perturbation share their task and random numbers.
};

// Defaults of the rule's own options. sigma is the inner loop's.
struct EvolutionDefaults {
  std::string learning_rate, adam_beta1, weight_decay, anneal;
};
BoundOptions<EvolutionSettings> EvolutionOptions(const EvolutionDefaults& defaults);
MetricTable EvolutionMetrics();
// Checks what a spec needs: a network, whole pairs, updates.
void CheckEvolution(const RuleContext& context, Violations* violations);
std::unique_ptr<OuterRule> MakeEvolutionRule(const RuleContext& context, EvolutionSettings settings,
                                             const OptionValues& options);

}  // namespace mentor::meta_learner
