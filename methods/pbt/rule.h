// Truncation selection and exploration of a population (Jaderberg et al. 2017;
// methods/pbt/README.md). Pure functions.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "methods/pbt/loop.h"

namespace mentor::meta_learner {

enum class Explore {
  kPerturb,  // Times 0.8 or 1.2.
  kAdd       // Plus or minus up to a tenth of the range, on the hyperparameter's scale.
};

struct PopulationConfig {
  std::vector<learner::Hyperparameter> hyperparameters;  // h of them
  double fraction = 0.2;   // Share of the members that copy, and that are copied; at least one.
  double resample = 0.25;  // Probability that a copied hyperparameter is drawn afresh.
  Explore explore = Explore::kPerturb;
};

struct Selection {
  std::vector<uint32_t> bottom, top;  // Worst first.
  std::vector<uint32_t> parents;      // [F]: a member that copies none has its own number.
  torch::Tensor hyperparameters;      // [F, h] float64
};

// scores [F] and hyperparameters [F, h], float64. uniforms [F, 1 + 2 h]: for each member one draw
// for its parent and two for each hyperparameter. A score that is not finite is below all others;
// among equal scores the greater number is better.
Selection SelectAndExplore(const PopulationConfig& config, const torch::Tensor& scores,
                           const torch::Tensor& hyperparameters, const torch::Tensor& uniforms);

}  // namespace mentor::meta_learner
