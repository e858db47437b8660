// The outer rule of evolution strategies (docs/algorithms/evolution_strategies.md), for whatever is
// varied: a signal network, a learned loss.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "meta_learner/rules/evolution_strategies.h"
#include "meta_learner/rules/outer_rule.h"

namespace mentor::meta_learner {

enum class EvolutionAnneal { kNone, kHalf };  // kHalf: to a tenth, over the first half of training.

struct EvolutionSettings {
  EvolutionConfig config = {};  // sigma is an option of the inner loop.
  EvolutionAnneal anneal = EvolutionAnneal::kNone;
  bool success = false;  // Fitness: the sum of success signals, not of shaped rewards.
  bool paired = true;    // The two lifetimes of a perturbation have one task and one chance.
};

// Its own options but for sigma; defaults as text.
struct EvolutionDefaults {
  std::string learning_rate, adam_beta1, weight_decay;
  std::vector<std::string> anneal;  // The choices; the first one is the default.
};
OptionTable EvolutionOptions(const EvolutionDefaults& defaults);
EvolutionSettings ReadEvolution(const OptionValues& options);
MetricTable EvolutionMetrics();
// What a spec must have: a network, whole pairs, updates.
void CheckEvolution(const RuleContext& context, Violations* violations);
std::unique_ptr<OuterRule> MakeEvolutionRule(const RuleContext& context,
                                             const EvolutionSettings& settings);

}  // namespace mentor::meta_learner
