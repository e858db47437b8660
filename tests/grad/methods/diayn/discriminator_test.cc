// The gradient of DIAYN's cross-entropy against finite differences.
#include "methods/diayn/discriminator.h"

#include <torch/csrc/autograd/autograd.h>

#include "tests/golden.h"
#include "tests/normals.h"

namespace mentor::methods::TEST_FILE {

using torch::Tensor;

TEST_CASE("grad: the discriminator's cross-entropy", "[grad]") {
  const Discriminator discriminator(/*observation_size=*/3, /*hidden_units=*/4, /*num_skills=*/5);
  const auto normals = [](uint32_t number, at::IntArrayRef shape) {
    return testing::Normals({.seed = 41}, number, shape, torch::kFloat64);
  };
  const int64_t size = discriminator.layout().size();
  const Tensor weights = 0.5 * normals(0, {size}), reached = normals(1, {20, 3});
  const Tensor skills = normals(2, {20, 5}).argmax(1);
  const auto loss = [&](const Tensor& at) {
    return -discriminator.LogSkills(at, reached).gather(1, skills.unsqueeze(1)).mean();
  };
  const Tensor at = weights.clone().requires_grad_();
  const Tensor gradient = torch::autograd::grad({loss(at)}, {at})[0];
  Tensor differences = torch::empty_like(gradient);
  constexpr double kStep = 1e-6;
  for (int64_t i = 0; i < size; ++i) {
    Tensor unit = torch::zeros_like(weights);
    unit[i] = kStep;
    differences[i] = (loss(weights + unit) - loss(weights - unit)) / (2 * kStep);
  }
  testing::CheckNear("gradient", gradient, differences, {.rel = 1e-6, .abs = 1e-8});
  CHECK(gradient.abs().max().item<double>() > 1e-2);
  CHECK_FALSE(torch::equal(gradient, differences));
}

}  // namespace mentor::methods::TEST_FILE
