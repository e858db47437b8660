// The hyperparameters of a population (Jaderberg et al. 2017; methods/pbt/README.md): which ones
// members have of their own, and their ranges. For the agents' inner loop and the outer rule. Pure
// functions.
#pragma once

#include <string>
#include <vector>

#include "agents/ppo_config.h"
#include "common/options.h"

namespace mentor::learner {

struct Hyperparameter {
  std::string name;
  bool log_scale = false;  // Drawn and moved by its logarithm.
  double low = 0, high = 0;
  double PpoConfig::*member = nullptr;
  bool tuned = false;  // The default of its option tune_NAME.

  // The value at `place` of [0, 1], and back.
  double At(double place) const;
  double PlaceOf(double value) const;
};

// All hyperparameters that can be tuned, with their widest ranges.
const std::vector<Hyperparameter>& TunableHyperparameters();
// The tuned ones, in the order of TunableHyperparameters. The options must have passed
// CheckHyperparameters.
std::vector<Hyperparameter> TunedHyperparameters(const OptionValues& options);
void CheckHyperparameters(const OptionValues& options, Violations* violations);

}  // namespace mentor::learner
