// The rewarding network of wrapper random_reward (methods/diayn/README.md#random-rewards): a
// classifier D of observations, D-H-H-n with tanh. Not thread-safe: it has room for one result.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

namespace mentor::envs {

// The file of a trained classifier in a bundle.
inline constexpr char kDiscriminatorFile[] = "discriminator.safetensors";

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
  // Trained: the bytes of kDiscriminatorFile, three layers of float32 tensors skills.W1 [H, D], b1
  // [H], W2, b2, W3 [n, H'], b3. INVALID_ARGUMENT names the tensor that is missing, is of another
  // shape than its neighbours, or has a number that is not finite.
  static absl::StatusOr<RewardNetwork> Read(std::string_view bytes);

  int observation_size() const;
  int classes() const { return static_cast<int>(layers_.back().biases.size()); }
  // ln D(z | observation) of all z, valid until the next call.
  std::span<const double> LogD(std::span<const double> observation);

 private:
  std::vector<Layer> layers_;
  std::vector<std::vector<double>> outputs_;  // Outputs of each layer.
};

}  // namespace mentor::envs
