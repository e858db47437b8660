// The gradient that trains the keys of neural episodic control against finite differences, through
// encoder and lookup, with some neighbours missing.
#include "methods/episodic_control/episodic_table.h"

#include <torch/csrc/autograd/autograd.h>

#include "tests/golden.h"
#include "tests/normals.h"

namespace mentor::methods::TEST_FILE {

using torch::Tensor;

Tensor Normals(uint32_t number, at::IntArrayRef shape) {
  return testing::Normals({.seed = 23}, number, shape, torch::kFloat64);
}

TEST_CASE("grad: the error of neighbours' values by the encoder's weights", "[grad]") {
  constexpr int64_t kBatch = 5, kNeighbours = 3;
  const KeyNetwork network{.observation = 4, .hidden = 6, .key = 2};
  const Tensor observations = Normals(1, {kBatch, 4}), targets = Normals(2, {kBatch}),
               keys = Normals(3, {kBatch, kNeighbours, 2}),
               values = Normals(4, {kBatch, kNeighbours});
  Tensor present = torch::ones({kBatch, kNeighbours}, torch::kFloat64);
  present[1][2] = present[3][1] = present[3][2] = 0;
  const auto loss = [&](const Tensor& weights) {
    return (targets -
            NeighbourValues(EncodeKeys(network, weights, observations), keys, values, present, 0.1))
        .square()
        .mean();
  };
  const Tensor weights = 0.5 * Normals(5, {network.num_weights()});
  const Tensor at = weights.clone().requires_grad_();
  const Tensor gradient = torch::autograd::grad({loss(at)}, {at})[0];
  Tensor differences = torch::empty_like(gradient);
  constexpr double kStep = 1e-5;
  for (int64_t i = 0; i < weights.numel(); ++i) {
    Tensor up = weights.clone(), down = weights.clone();
    up[i] += kStep;
    down[i] -= kStep;
    differences[i] = (loss(up) - loss(down)).item<double>() / (2 * kStep);
  }
  testing::CheckNear("gradient", gradient, differences, {.rel = 1e-6, .abs = 1e-8});
  CHECK(gradient.abs().max().item<double>() > 1e-3);
  CHECK_FALSE(torch::equal(gradient, differences));

  // Absent rows have no influence.
  Tensor others = values.clone();
  others[3][2] = 100;
  CHECK(torch::equal(NeighbourValues(keys.select(1, 0), keys, values, present, 0.1),
                     NeighbourValues(keys.select(1, 0), keys, others, present, 0.1)));
}

// Learners and actors look up with the keys of KeyEncoder, training differentiates EncodeKeys.
TEST_CASE("grad: the differentiable encoder is the one that acts", "[grad]") {
  const KeyNetwork network{.observation = 11, .hidden = 13, .key = 5};
  const Tensor weights = 0.5 * Normals(6, {network.num_weights()}),
               observations = Normals(7, {3, 11});
  const Tensor want = EncodeKeys(network, weights, observations);
  KeyEncoder<double> encoder(network);
  std::vector<double> key(5);
  for (int64_t i = 0; i < 3; ++i) {
    encoder.Encode(weights.const_data_ptr<double>(),
                   {observations.const_data_ptr<double>() + 11 * i, 11}, key);
    testing::CheckNear("key", torch::tensor(key, torch::kFloat64), want[i],
                       {.rel = 1e-12, .abs = 1e-12});
  }
}

}  // namespace mentor::methods::TEST_FILE
