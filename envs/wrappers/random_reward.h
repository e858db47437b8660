// The rewarding network of wrapper random_reward (methods/diayn/README.md#random-rewards): a
// classifier D of observations, D-H-H-n with tanh. Not thread-safe: it has room for one result.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mentor::envs {

class RewardNetwork {
 public:
  // One layer: weights [out, in] row-major, biases [out].
  struct Layer {
    std::vector<double> weights, biases;
  };
  // Random: orthogonal weights with this gain, biases 0.
  RewardNetwork(int observation_size, int hidden_units, int classes, double gain, uint64_t seed);
  // Three layers whose sizes fit.
  explicit RewardNetwork(std::vector<Layer> layers);

  int observation_size() const;
  int classes() const { return static_cast<int>(layers_.back().biases.size()); }
  // ln D(z | observation) of all z, valid until the next call.
  std::span<const double> LogD(std::span<const double> observation);

 private:
  const std::vector<Layer> layers_;
  std::vector<std::vector<double>> outputs_;  // Outputs of each layer.
};

}  // namespace mentor::envs
