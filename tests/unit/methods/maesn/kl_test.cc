// Both KL divergences of MAESN have a direction: that of a latent from the prior, and that of the
// policy of the outer step from the one that acted. Numbers are by hand.
#include <cmath>

#include "methods/maesn/objective.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using testing::Near;
using torch::Tensor;

const double kLn2 = std::log(2.0);

Tensor Numbers(std::vector<double> numbers) {
  return torch::tensor(numbers, torch::kFloat64);
}

TEST_CASE("maesn: the latent's divergence is from the latent to the prior", "[unit]") {
  // mu 0.5, sigma 2: 0.5 (0.25 + 4 - 1) - ln 2. From the prior to the latent it were 0.3494.
  CHECK(Near(LatentKl({Numbers({0.5}), Numbers({kLn2})}).item<double>(), 1.625 - kLn2,
             {.rel = 1e-12}));
  // sigma 1/2: 0.5 (0.25 - 1) + ln 2, and the other way 0.8069. Numbers add up.
  CHECK(Near(LatentKl({Numbers({0, 0}), Numbers({-kLn2, -kLn2})}).item<double>(),
             2 * (kLn2 - 0.375), {.rel = 1e-12}));
  CHECK(LatentKl({Numbers({0}), Numbers({0})}).item<double>() == 0);
}

TEST_CASE("maesn: the policy's divergence is from the new policy to the one that acted", "[unit]") {
  const LatentConfig config{
      .policy = {.observation_size = 2, .action_size = 1, .hidden_units = 3, .critic = false},
      .latent = 1};
  const agents::ParamLayout layout = LatentLayout(config, /*num_tasks=*/1);
  // Weights of 0: means of 0, a deviation of 1.
  const Tensor born = torch::zeros({layout.size()}, torch::kFloat64);
  const auto numbers = [](at::IntArrayRef shape) { return torch::ones(shape, torch::kFloat64); };
  MaesnObjective objective(config, {.clip = {}, .kl_coef = 0}, /*num_tasks=*/1, born,
                           {{.task = 0,
                             .eps = numbers({2, 1}),
                             .observations = numbers({2, 3, 2}),
                             .actions = numbers({2, 3, 1}),
                             .advantages = numbers({2, 3})}},
                           /*pool=*/nullptr);
  REQUIRE(objective.Prepare().ok());
  const auto divergence = [&](double log_std) {
    Tensor moved = born.clone();
    layout.Part("logstd", moved).fill_(log_std);
    const auto value = objective.Evaluate(moved);
    REQUIRE(value.ok());
    return value->kl;
  };
  CHECK(Near(divergence(kLn2), 1.5 - kLn2, {.rel = 1e-12}));     // Else ln 2 - 0.375 = 0.3181.
  CHECK(Near(divergence(-kLn2), kLn2 - 0.375, {.rel = 1e-12}));  // Else 1.5 - ln 2 = 0.8069.
  // Its Hessian at the start: d^2 (0.5 exp(2 d) - d) = 2.
  Tensor direction = torch::zeros_like(born);
  layout.Part("logstd", direction).fill_(1);
  const auto product = objective.HessianVector(direction);
  REQUIRE(product.ok());
  CHECK(Near(layout.Part("logstd", *product).item<double>(), 2, {.rel = 1e-9}));
}

}  // namespace mentor::methods::TEST_FILE
