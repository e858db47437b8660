// Brings shaped rewards of different environments to one scale
// (methods/black_box/README.md#reward-normalisation). Each environment has a divisor: its running
// mean, or its root mean square where the mean is near 0 or negative. All in double. Owned by a
// rule; part of its checkpoint. Not thread-safe.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "methods/base/outer_rule.h"
#include "methods/base/state.h"

namespace mentor::methods {

class RewardNormaliser {
 public:
  struct Statistics {
    double sum = 0;     // Z: sum of the lifetimes' mean rewards
    int64_t count = 0;  // N: lifetimes seen
    // Over the lifetimes since the first update that found the mean near 0; zeros before.
    double square_sum = 0;     // Q: sum of the lifetimes' mean squares
    int64_t square_count = 0;  // M
  };

  // Enters the rewards [L] of one lifetime. Lifetimes enter in the order of their numbers.
  void Add(const std::string& environment, const torch::Tensor& rewards);
  // Finds the environments whose mean is near 0 or negative, once the rewards [N, L] of an update
  // have been added. Their root mean square divides them from then on
  // (methods/black_box/README.md#reading-positive-mean-reward). Call it before Normalise.
  void AddSquares(const std::vector<std::string>& environments, const torch::Tensor& rewards);
  // Returns rewards / (divisor + 1e-7) * target_mean, in double. The environment must have been
  // added.
  torch::Tensor Normalise(const std::string& environment, const torch::Tensor& rewards,
                          double target_mean) const;

  double Mean(const std::string& environment) const;
  // The normalised mean of all lifetimes: target_mean, or what the root mean square makes of the
  // mean.
  double NormalisedMean(const std::string& environment, double target_mean) const;
  // Adds "reward_mean/ENVIRONMENT", and "reward_rms/ENVIRONMENT" where that is the divisor.
  void AddTo(RuleReport* report) const;
  const std::map<std::string, Statistics>& statistics() const { return statistics_; }

  // The part of a rule's state under "normaliser/ENVIRONMENT": Z and N, then Q and M where there
  // are any. An error changes nothing.
  void AddTo(StateFields* fields);
  void Save(TensorMap* state) const;
  absl::Status Load(const TensorMap& state);

 private:
  double Divisor(const std::string& environment) const;

  std::map<std::string, Statistics> statistics_;  // Ordered: its order reaches checkpoints.
};

}  // namespace mentor::methods
