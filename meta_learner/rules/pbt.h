// Truncation selection and exploration of a population (Jaderberg et al. 2017;
// docs/algorithms/population_based_training.md). Pure functions.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "learner/inner_loops/population.h"

namespace mentor::meta_learner {

enum class Explore {
  kPerturb,  // Times 0.8 or 1.2.
  kAdd       // Plus or minus up to a tenth of the range, on the hyperparameter's scale.
};

struct PopulationConfig {
  std::vector<learner::Hyperparameter> hyperparameters;  // h of them
  double fraction = 0.2;   // Of the members that copy, and that are copied; at least one.
  double resample = 0.25;  // Probability that a copied hyperparameter is drawn afresh.
  Explore explore = Explore::kPerturb;
};

struct Selection {
  std::vector<uint32_t> bottom, top;  // Worst first.
  std::vector<uint32_t> parents;      // [F]: its own number for who copies nobody.
  torch::Tensor hyperparameters;      // [F, h] float64
};

// scores [F] and hyperparameters [F, h], float64. uniforms [F, 1 + 2 h]: of each member, for its
// parent and, twice, for each hyperparameter. A score that is not finite is below all others; of
// equal ones the greater number is better.
Selection SelectAndExplore(const PopulationConfig& config, const torch::Tensor& scores,
                           const torch::Tensor& hyperparameters, const torch::Tensor& uniforms);

}  // namespace mentor::meta_learner
