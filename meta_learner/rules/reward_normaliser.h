// Brings shaped rewards of different environments to one scale
// (docs/algorithms/black_box.md#reward-normalisation): each environment's name has a divisor, its
// running mean or, where that is near 0 or negative, its root mean square. In double. Owned by a
// rule; part of its checkpoint. Not thread-safe.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "learner/inner_loops/tensor_map.h"
#include "meta_learner/rules/outer_rule.h"

namespace mentor::meta_learner {

class RewardNormaliser {
 public:
  struct Statistics {
    double sum = 0;     // Z: of the mean rewards of lifetimes
    int64_t count = 0;  // N: lifetimes seen
    // Of the lifetimes since the first update that found the mean near 0; none where none did.
    double square_sum = 0;     // Q: of the mean squares of lifetimes
    int64_t square_count = 0;  // M
  };

  // Enters the rewards [L] of one lifetime. Lifetimes enter in the order of their numbers.
  void Add(const std::string& environment, const torch::Tensor& rewards);
  // Once the rewards [N, L] of an update have been added: finds the environments whose mean is near
  // 0 or negative. From then on they are divided by their root mean square
  // (docs/algorithms/black_box.md#reading-positive-mean-reward). Before Normalise.
  void AddSquares(const std::vector<std::string>& environments, const torch::Tensor& rewards);
  // rewards / (divisor + 1e-7) * target_mean, in double. The environment has been added.
  torch::Tensor Normalise(const std::string& environment, const torch::Tensor& rewards,
                          double target_mean) const;

  double Mean(const std::string& environment) const;
  // Of all its lifetimes, normalised: target_mean, or what the root mean square makes of the mean.
  double NormalisedMean(const std::string& environment, double target_mean) const;
  // Metrics "reward_mean/ENVIRONMENT", and "reward_rms/ENVIRONMENT" where that is the divisor.
  void AddTo(RuleReport* report) const;
  const std::map<std::string, Statistics>& statistics() const { return statistics_; }

  // Into and out of a rule's state, under "normaliser/ENVIRONMENT": Z and N, then Q and M where
  // there are any. An error changes nothing.
  void Save(learner::TensorMap* state) const;
  absl::Status Load(const learner::TensorMap& state);

 private:
  double Divisor(const std::string& environment) const;

  std::map<std::string, Statistics> statistics_;  // Ordered: its order reaches checkpoints.
};

}  // namespace mentor::meta_learner
