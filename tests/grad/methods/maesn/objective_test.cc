// MAESN's outer gradient and the Hessian of its KL divergence against finite differences, through
// two adaptation steps, clipped and not.
#include "methods/maesn/objective.h"

#include "tests/golden.h"
#include "tests/normals.h"

namespace mentor::methods::TEST_FILE {

using torch::Tensor;

constexpr int64_t kTasks = 3, kLifetimes = 2, kLatent = 2, kEpisodes = 4, kSteps = 5;

Tensor Normals(uint32_t number, at::IntArrayRef shape) {
  return testing::Normals({.seed = 31}, number, shape, torch::kFloat64);
}

struct Problem {
  MaesnObjective objective;
  Tensor weights;
};

Problem MakeProblem(bool discrete, std::optional<double> clip) {
  const LatentConfig config{.policy = {.observation_size = 3,
                                       .action_size = 2,
                                       .hidden_units = 3,
                                       .critic = false,
                                       .discrete = discrete},
                            .latent = kLatent,
                            .episode_steps = kSteps,
                            .episodes = kEpisodes,
                            .steps = 2};
  std::vector<MaesnLifetime> lifetimes;
  for (uint32_t i = 0; i < kLifetimes; ++i) {
    const Tensor actions = Normals(100 * i + 10, {kEpisodes, kSteps, 2});
    MaesnLifetime lifetime{
        .task = 2 - static_cast<int64_t>(i),  // Task 0 is not in the round.
        .steps = {},
        .eps = Normals(100 * i + 11, {kEpisodes, kLatent}),
        .observations = Normals(100 * i + 12, {kEpisodes, kSteps, 3}),
        .actions = discrete ? torch::one_hot(actions.argmax(2), 2).to(torch::kFloat64) : actions,
        .advantages = Normals(100 * i + 13, {kEpisodes, kSteps})};
    for (uint32_t k = 0; k < 2; ++k) {
      lifetime.steps.push_back({Normals(100 * i + 20 + k, {kEpisodes, kLatent}),
                                Normals(100 * i + 30 + k, {kEpisodes})});
    }
    lifetimes.push_back(std::move(lifetime));
  }
  const Tensor weights = 0.3 * Normals(1, {LatentLayout(config, kTasks).size()});
  MaesnObjective objective(config, {.clip = clip, .kl_coef = 0.1}, kTasks, weights,
                           std::move(lifetimes), nullptr);
  REQUIRE(objective.Prepare().ok());
  return {std::move(objective), weights};
}

TrpoValue At(const Problem& problem, const Tensor& displacement) {
  const auto value = problem.objective.Evaluate(problem.weights + displacement);
  REQUIRE(value.ok());
  return *value;
}

Tensor Unit(int64_t size, int64_t i, double length) {
  Tensor x = torch::zeros({size}, torch::kFloat64);
  x[i] = length;
  return x;
}

TEST_CASE("grad: MAESN's outer gradient through the steps of the latents", "[grad]") {
  for (const bool discrete : {false, true}) {
    for (const std::optional<double> clip : {std::optional<double>(), std::optional<double>(0.2)}) {
      INFO("discrete " << discrete << ", clipped " << clip.has_value());
      const Problem problem = MakeProblem(discrete, clip);
      // Away from where the agents lived, so that ratios are not 1 and some are clipped.
      const int64_t size = problem.weights.numel();
      const Tensor away = 0.1 * Normals(2, {size});
      const auto gradient = problem.objective.Gradient(problem.weights + away);
      REQUIRE(gradient.ok());
      Tensor differences = torch::empty_like(*gradient);
      constexpr double kStep = 1e-6;
      for (int64_t i = 0; i < size; ++i) {
        differences[i] = (At(problem, away + Unit(size, i, kStep)).loss -
                          At(problem, away + Unit(size, i, -kStep)).loss) /
                         (2 * kStep);
      }
      testing::CheckNear("gradient", *gradient, differences, {.rel = 1e-6, .abs = 1e-8});
      CHECK_FALSE(torch::equal(*gradient, differences));
      // Policy, step sizes and latents all have a gradient, except those of the task without
      // lifetimes.
      const Tensor tail = gradient->narrow(0, size - 2 * kLatent - 2 * kTasks * kLatent,
                                           2 * kLatent + 2 * kTasks * kLatent);
      CHECK(tail.narrow(0, 0, 2 * kLatent).abs().min().item<double>() > 1e-6);
      const Tensor mu = tail.narrow(0, 2 * kLatent, kTasks * kLatent);
      CHECK(mu.narrow(0, 0, kLatent).eq(0).all().item<bool>());
      CHECK(mu.narrow(0, kLatent, 2 * kLatent).abs().min().item<double>() > 1e-6);
    }
  }
}

TEST_CASE("grad: the Hessian of MAESN's KL divergence", "[grad]") {
  for (const bool discrete : {false, true}) {
    const Problem problem = MakeProblem(discrete, {});
    const int64_t size = problem.weights.numel();
    const Tensor v = Normals(3, {size});
    const auto product = problem.objective.HessianVector(v);
    REQUIRE(product.ok());
    Tensor differences = torch::empty_like(*product);
    constexpr double kStep = 1e-3;
    for (int64_t i = 0; i < size; ++i) {
      const auto kl = [&](double along_axis, double along_v) {
        return At(problem, Unit(size, i, along_axis * kStep) + along_v * kStep * v).kl;
      };
      differences[i] = (kl(1, 1) - kl(1, -1) - kl(-1, 1) + kl(-1, -1)) / (4 * kStep * kStep);
    }
    testing::CheckNear("product", *product, differences, {.rel = 2e-4, .abs = 1e-4});
    CHECK(product->abs().max().item<double>() > 0.01);
  }
}

}  // namespace mentor::methods::TEST_FILE
