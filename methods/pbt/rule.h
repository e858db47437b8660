// The hyperparameters of a population (Jaderberg et al. 2017; methods/pbt/README.md): which ones
// members have of their own, and their ranges, for the agents' inner loop too. Truncation selection
// and exploration. Pure functions.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "agents/ppo_config.h"
#include "common/options.h"

namespace mentor::methods {

struct Hyperparameter {
  std::string name;
  bool log_scale = false;  // Drawn and moved by its logarithm.
  double low = 0, high = 0;
  double agents::PpoConfig::*member = nullptr;
  bool tuned = false;  // The default of its option tune_NAME.

  // The value at `place` of [0, 1], and back.
  double At(double place) const;
  double PlaceOf(double value) const;
};

// What can be tuned, with the widest ranges.
const std::vector<Hyperparameter>& TunableHyperparameters();
// The tuned ones, in the order of TunableHyperparameters. The options must have passed
// CheckHyperparameters.
std::vector<Hyperparameter> TunedHyperparameters(const OptionValues& options);
void CheckHyperparameters(const OptionValues& options, Violations* violations);

enum class Explore {
  kPerturb,  // Times 0.8 or 1.2.
  kAdd       // Plus or minus up to a tenth of the range, on the hyperparameter's scale.
};

struct PopulationConfig {
  std::vector<methods::Hyperparameter> hyperparameters;  // h of them
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

}  // namespace mentor::methods
