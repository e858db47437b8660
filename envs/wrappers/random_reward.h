// The network that rewards in wrapper random_reward (docs/algorithms/skills.md#random-rewards): a
// classifier D of observations, D-H-H-n with tanh. Not thread-safe: it has room for one result.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mentor::envs {

class RewardNetwork {
 public:
  // Of a layer, [out, in] row-major and [out].
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
  std::vector<std::vector<double>> outputs_;  // Of each layer.
};

}  // namespace mentor::envs
