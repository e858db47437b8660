// The hyperparameters of a population (Jaderberg et al. 2017;
// docs/algorithms/population_based_training.md): which ones the members have of their own, and from
// where. Known to the agents' inner loop and to the outer rule. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "common/options.h"
#include "learner/agents/ppo_config.h"

namespace mentor::learner {

struct Hyperparameter {
  std::string name;
  bool log_scale = false;  // Drawn and moved by its logarithm.
  double low = 0, high = 0;
  double PpoConfig::*member = nullptr;

  // The value at `place` of [0, 1], and back.
  double At(double place) const;
  double PlaceOf(double value) const;
};

// All that can be tuned, with their widest ranges.
const std::vector<Hyperparameter>& TunableHyperparameters();
// tune_NAME, NAME_low and NAME_high of each.
OptionTable HyperparameterOptions();
// Those that are tuned, in the order of TunableHyperparameters. Options are checked by
// CheckHyperparameters.
std::vector<Hyperparameter> TunedHyperparameters(const OptionValues& options);
void CheckHyperparameters(const OptionValues& options, Violations* violations);

}  // namespace mentor::learner
