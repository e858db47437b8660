// MAML's outer gradient and the Hessian of its KL divergence against finite differences, first and
// second order, through two adaptation steps.
#include "methods/maml/objective.h"

#include "tests/golden.h"
#include "tests/normals.h"

namespace mentor::methods::TEST_FILE {

using torch::Tensor;

constexpr int64_t kLifetimes = 2, kSteps = 12;

Tensor Normals(uint32_t number, at::IntArrayRef shape) {
  return testing::Normals({.seed = 21}, number, shape, torch::kFloat64);
}

PolicyGradientData Data(uint32_t number, int64_t steps, bool discrete) {
  const Tensor actions = Normals(number, {steps, 2});
  return {.observations = Normals(number + 1, {steps, 3}),
          .actions = discrete ? torch::one_hot(actions.argmax(1), 2).to(torch::kFloat64) : actions,
          .advantages = Normals(number + 2, {steps}),
          .old_log_probs = {}};
}

MamlObjective MakeObjective(bool first_order, bool discrete) {
  AdaptationConfig config;
  config.policy = {
      .observation_size = 3, .action_size = 2, .hidden_units = 3, .discrete = discrete};
  // Large enough that the adaptation's derivative matters.
  config.learning_rate = discrete ? 1 : 0.1;
  std::vector<MamlLifetime> lifetimes;
  for (uint32_t i = 0; i < kLifetimes; ++i) {
    lifetimes.push_back(
        {.adaptation = {Data(100 * i + 10, kSteps, discrete), Data(100 * i + 20, kSteps, discrete)},
         .meta = Data(100 * i + 30, 2 * kSteps, discrete)});
  }
  const int64_t size = StateStdPolicy(config.policy).layout().size();
  MamlObjective objective(config, first_order, 0.3 * Normals(1, {size}), std::move(lifetimes),
                          nullptr);
  REQUIRE(objective.Prepare().ok());
  return objective;
}

TrpoValue At(const MamlObjective& objective, const Tensor& displacement) {
  const auto value = objective.Evaluate(displacement);
  REQUIRE(value.ok());
  return *value;
}

Tensor Unit(int64_t size, int64_t i, double length) {
  Tensor x = torch::zeros({size}, torch::kFloat64);
  x[i] = length;
  return x;
}

TEST_CASE("grad: MAML's outer gradient, both orders", "[grad]") {
  for (const bool discrete : {false, true}) {
    Tensor gradients[2];
    for (const bool first_order : {true, false}) {
      INFO("discrete " << discrete << ", first order " << first_order);
      const MamlObjective objective = MakeObjective(first_order, discrete);
      const auto gradient = objective.Gradient();
      REQUIRE(gradient.ok());
      Tensor differences = torch::empty_like(*gradient);
      constexpr double kStep = 1e-5;
      const int64_t size = gradient->numel();
      for (int64_t i = 0; i < size; ++i) {
        differences[i] =
            (At(objective, Unit(size, i, kStep)).loss - At(objective, Unit(size, i, -kStep)).loss) /
            (2 * kStep);
      }
      testing::CheckNear("gradient", *gradient, differences, {.rel = 1e-6, .abs = 1e-8});
      CHECK(gradient->abs().max().item<double>() > 1e-3);
      CHECK_FALSE(torch::equal(*gradient, differences));
      gradients[first_order ? 0 : 1] = *gradient;
    }
    CHECK((gradients[0] - gradients[1]).abs().max().item<double>() > 1e-3);
  }
}

TEST_CASE("grad: the Hessian of MAML's KL divergence, both orders", "[grad]") {
  for (const bool discrete : {false, true}) {
    for (const bool first_order : {true, false}) {
      INFO("discrete " << discrete << ", first order " << first_order);
      const MamlObjective objective = MakeObjective(first_order, discrete);
      const int64_t size = objective.adapted(0).numel();
      const Tensor v = Normals(2, {size});
      const auto product = objective.HessianVector(v);
      REQUIRE(product.ok());
      Tensor differences = torch::empty_like(*product);
      constexpr double kStep = 1e-3;
      for (int64_t i = 0; i < size; ++i) {
        const auto kl = [&](double along_axis, double along_v) {
          return At(objective, Unit(size, i, along_axis * kStep) + along_v * kStep * v).kl;
        };
        differences[i] = (kl(1, 1) - kl(1, -1) - kl(-1, 1) + kl(-1, -1)) / (4 * kStep * kStep);
      }
      testing::CheckNear("product", *product, differences, {.rel = 2e-4, .abs = 1e-4});
      CHECK(product->abs().max().item<double>() > 0.01);
    }
  }
}

}  // namespace mentor::methods::TEST_FILE
