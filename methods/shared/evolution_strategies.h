// Evolution strategies (methods/evolution_strategies/README.md; Salimans et al. 2017): their
// mathematics, and the outer rule. What is varied may be a signal network or a learned loss. Pure
// functions; every sum runs in the order of the lifetimes.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "methods/base/outer_rule.h"
#include "methods/shared/perturbation.h"
#include "methods/shared/trained_weights.h"

namespace mentor::methods {

struct EvolutionConfig {
  double sigma = 0.05;          // Standard deviation of the perturbations.
  double weight_decay = 0.005;  // Times the weights, added to the gradient.
  kernels::AdamConfig adam = {.learning_rate = 0.01, .epsilon = 1e-8};  // Without clipping.
};

// [F] float64 in [-0.5, 0.5]: the rank of each fitness [F] within its group. Equal ones get equal
// ranks; the only member of a group gets 0.
torch::Tensor CentredRanks(const torch::Tensor& fitness, const std::vector<std::string>& groups);

// [F] float64: each fitness less the mean of its group, over the group's deviation (of all its
// members, plus 1e-10).
torch::Tensor StandardScores(const torch::Tensor& fitness, const std::vector<std::string>& groups);

// g = 1/(F sigma) sum_i rank_i sign_i eps_i: [size] float64. Lifetime i of F has the number
// first_lifetime + i (methods/shared/perturbation.h); F and first_lifetime are even.
torch::Tensor EvolutionGradient(const torch::Tensor& ranks, double sigma, uint64_t seed,
                                uint32_t first_lifetime, int64_t size);

// Intraclass correlation of the fitnesses of pairs (2i, 2i + 1) of [F], each less the mean of its
// group. The order within a pair does not matter. Nothing when all fitnesses are equal.
std::optional<double> PairCorrelation(const torch::Tensor& fitness,
                                      const std::vector<std::string>& groups);

// One step of Adam up g, with weight decay. Changes weights [Q] and *adam in place.
void EvolutionStep(const EvolutionConfig& config, const torch::Tensor& gradient,
                   torch::Tensor weights, AdamState* adam);

struct EvolutionSettings {
  EvolutionConfig config = {};   // sigma is an option of the inner loop.
  double anneal = 0;             // See Annealed.
  bool success = false;          // Fitness: the sum of success signals, not of shaped rewards.
  bool standard_scores = false;  // StandardScores weigh the perturbations, not ranks.
  Decay sigma = {}, rate = {};   // How config.sigma and Adam's learning rate fall.
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
std::unique_ptr<OuterRule> MakeEvolutionRule(const RuleContext& context,
                                             EvolutionSettings settings);

}  // namespace mentor::methods
