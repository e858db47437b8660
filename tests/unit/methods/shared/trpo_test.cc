// A step of trust region policy optimisation on problems whose numbers are known by hand.
#include "methods/shared/trpo.h"

#include <cmath>
#include <limits>
#include <vector>

#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using testing::Near;
using torch::Tensor;

Tensor Numbers(std::vector<double> numbers) {
  return torch::tensor(numbers, torch::kFloat64);
}

bool Are(const Tensor& x, const std::vector<double>& numbers) {
  REQUIRE(x.numel() == static_cast<int64_t>(numbers.size()));
  for (int64_t i = 0; i < x.numel(); ++i) {
    if (!Near(x[i].item<double>(), numbers[i], {.rel = 1e-12})) return false;
  }
  return true;
}

// H = [[2, 1], [1, 3]], gradient (1, 2). Products and displacements are recorded, and candidates
// get their values from a list.
struct Problem {
  Tensor hessian = Numbers({2, 1, 1, 3}).view({2, 2}), gradient = Numbers({1, 2});
  double loss = 5;
  std::vector<TrpoValue> values = {};
  int products = 0;
  std::vector<Tensor> displacements = {};

  TrpoResult Run(const TrpoConfig& config) {
    const auto result =
        RunTrpo(config, {.gradient = gradient,
                         .loss = loss,
                         .hessian_vector = [&](const Tensor& v) -> absl::StatusOr<Tensor> {
                           ++products;
                           return hessian.matmul(v);
                         },
                         .evaluate = [&](const Tensor& displacement) -> absl::StatusOr<TrpoValue> {
                           displacements.push_back(displacement);
                           return displacements.size() <= values.size()
                                      ? values[displacements.size() - 1]
                                      : TrpoValue{.loss = loss + 1, .kl = 0};
                         }});
    INFO(result.status());
    REQUIRE(result.ok());
    return *result;
  }
};

TEST_CASE("trpo: conjugate gradient solves the damped system", "[unit]") {
  // (H + I) x = g: [[3, 1], [1, 4]] x = (1, 2), so x = (2, 5) / 11.
  Problem whole;
  CHECK(Are(whole.Run({.damping = 1, .cg_steps = 2}).direction, {2.0 / 11, 5.0 / 11}));
  CHECK(whole.products == 3);  // Two steps, and the curvature of their end.
  // Without damping [[2, 1], [1, 3]] x = (1, 2): (1, 3) / 5.
  CHECK(Are(Problem().Run({.damping = 0, .cg_steps = 2}).direction, {0.2, 0.6}));
  // One step of steepest descent: g g.g / g (H + I) g = 5 / 23 g.
  CHECK(Are(Problem().Run({.damping = 1, .cg_steps = 1}).direction, {5.0 / 23, 10.0 / 23}));
}

TEST_CASE("trpo: conjugate gradient ends by the squared residual", "[unit]") {
  Problem small;
  small.gradient = Numbers({1e-3, 2e-3});  // Its norm is 2.2e-3, the square 5e-6.
  CHECK(small.Run({.cg_residual = 6e-6}).direction.eq(0).all().item<bool>());
  CHECK(small.displacements.empty());  // Without a direction there is nothing to try.
  CHECK_FALSE(small.Run({.cg_residual = 4e-6}).direction.eq(0).any().item<bool>());
  // After one step without damping: r = g - 5/18 (4, 7) = (-1, 0.5) / 9, its square 1.25 / 81 =
  // 0.0154, its norm 0.124.
  Problem one, two;
  one.Run({.damping = 0, .cg_steps = 9, .cg_residual = 0.016});
  CHECK(one.products == 2);
  two.Run({.damping = 0, .cg_steps = 9, .cg_residual = 0.015});
  CHECK(two.products == 3);
}

TEST_CASE("trpo: the step has a quadratic divergence of max_kl, damping included", "[unit]") {
  Problem problem;
  const TrpoResult result = problem.Run({.max_kl = 0.02, .damping = 1, .cg_steps = 2});
  // 0.5 x (H + I) x = 0.5 x g = 6 / 11, so the step is x sqrt(0.02 * 11 / 6).
  const double scale = std::sqrt(0.02 * 11 / 6);
  CHECK(Are(result.step, {2 * scale / 11, 5 * scale / 11}));
  // The first candidate goes down the gradient, three steps far.
  CHECK(Are(problem.displacements[0], {-6 * scale / 11, -15 * scale / 11}));
}

TEST_CASE("trpo: the line search takes the longest step that is better and near enough", "[unit]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const TrpoConfig config{
      .max_kl = 0.01, .line_search_start = 2, .line_search_factor = 0.5, .line_search_tries = 6};
  Problem problem;
  // Better but too far, at the bound, near but no better, no numbers, better and near.
  problem.values = {{.loss = 1, .kl = 0.02},        {.loss = 1, .kl = 0.01},
                    {.loss = 5, .kl = 0.001},       {.loss = nan, .kl = 0.001},
                    {.loss = 4.999, .kl = 0.00999}, {.loss = 1, .kl = 0.001}};
  const TrpoResult result = problem.Run(config);
  REQUIRE(result.alpha);
  CHECK(*result.alpha == 0.125);
  REQUIRE(result.tries.size() == 5);  // What is shorter is not tried.
  for (size_t i = 0; i < 5; ++i) CHECK(result.tries[i].alpha == std::pow(0.5, double(i) - 1));
  CHECK(torch::equal(problem.displacements[4], -0.125 * result.step));

  // A divergence that is no number fails, too, and after the last try the weights stay.
  Problem none;
  none.values = {{.loss = 1, .kl = nan}};
  const TrpoResult stays = none.Run(config);
  CHECK_FALSE(stays.alpha);
  CHECK(stays.tries.size() == 6);
}

TEST_CASE("trpo: without a gradient nothing moves, and wrong curvature is an error", "[unit]") {
  Problem flat;
  flat.gradient = Numbers({0, 0});
  const TrpoResult result = flat.Run({});
  CHECK(result.step.eq(0).all().item<bool>());
  CHECK(result.tries.empty());
  CHECK_FALSE(result.alpha);

  const auto refused = [](double curvature) {
    return RunTrpo(
               {.damping = 0, .cg_steps = 1},
               {.gradient = Numbers({1}),
                .loss = 0,
                .hessian_vector = [=](const Tensor& v) -> absl::StatusOr<Tensor> {
                  return curvature * v;
                },
                .evaluate = [](const Tensor&) -> absl::StatusOr<TrpoValue> { return TrpoValue(); }})
        .status();
  };
  CHECK(refused(1).ok());
  CHECK(absl::IsInternal(refused(-1)));
  CHECK(absl::IsInternal(refused(std::numeric_limits<double>::quiet_NaN())));
}

}  // namespace mentor::methods::TEST_FILE
