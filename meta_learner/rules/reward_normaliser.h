// Brings shaped rewards of different environments to one scale
// (docs/algorithms/black_box.md#reward-normalisation): a running mean over every lifetime ever
// collected, one for each environment name, in double. Owned by a rule; part of its checkpoint. Not
// thread-safe.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <string>

#include <absl/status/status.h>

#include "learner/inner_loops/tensor_map.h"

namespace mentor::meta_learner {

class RewardNormaliser {
 public:
  struct Statistics {
    double sum = 0;     // Z: of the mean rewards of lifetimes
    int64_t count = 0;  // N: lifetimes seen
  };

  // Enters the rewards [L] of one lifetime. Lifetimes enter in the order of their numbers.
  void Add(const std::string& environment, const torch::Tensor& rewards);
  // rewards / (Z / N + 1e-7) * target_mean, in double. The environment has been added.
  torch::Tensor Normalise(const std::string& environment, const torch::Tensor& rewards,
                          double target_mean) const;
  // FAILED_PRECONDITION when an environment's mean is below 1e-3
  // (docs/algorithms/black_box.md#reading-positive-mean-reward): its rewards would blow up or
  // change their sign.
  absl::Status Check() const;

  double Mean(const std::string& environment) const;
  const std::map<std::string, Statistics>& statistics() const { return statistics_; }

  // Into and out of a rule's state, under "normaliser/ENVIRONMENT". An error changes nothing.
  void Save(learner::TensorMap* state) const;
  absl::Status Load(const learner::TensorMap& state);

 private:
  std::map<std::string, Statistics> statistics_;  // Ordered: its order reaches checkpoints.
};

}  // namespace mentor::meta_learner
