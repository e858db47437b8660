#include "envs/tolerance.h"

#include <cmath>

#include "tests/testing.h"

namespace mentor::envs::TEST_FILE {

using mentor::testing::Near;

TEST_CASE("tolerance: 1 within, the value at the margin there, less beyond", "[unit]") {
  for (const auto& [name, sigmoid] : kSigmoids) {
    INFO(name);
    for (const double value : {0.1, 0.5}) {
      const Tolerance tolerance(sigmoid, value);
      CHECK(tolerance(1, 1, 2, 0.5) == 1);
      CHECK(tolerance(2, 1, 2, 0.5) == 1);
      CHECK(Near(tolerance(0.5, 1, 2, 0.5), value, {.abs = 1e-12}));
      CHECK(Near(tolerance(2.5, 1, 2, 0.5), value, {.abs = 1e-12}));
      CHECK(tolerance(2.1, 1, 2, 0.5) > tolerance(2.3, 1, 2, 0.5));
      CHECK(tolerance(9, 1, 2, 0.5) >= 0);
      CHECK(tolerance(9, 1, 2, 0.5) < 0.2);
      CHECK(tolerance(2.1, 1, 2, 0) == 0);
      CHECK(std::isnan(tolerance(1, 1, 2, -1)));
    }
  }
}

TEST_CASE("tolerance: the formulas of dm_control", "[unit]") {
  // dm_control.utils.rewards.tolerance(x, (0, 1), 2, sigmoid, 0.1) of x = 1.8, by hand.
  const auto of = [](Sigmoid sigmoid) { return Tolerance(sigmoid)(1.8, 0, 1, 2); };
  const double s = 0.4;
  const auto near = [](double got, double want) { return Near(got, want, {.abs = 1e-12}); };
  CHECK(near(of(Sigmoid::kGaussian), std::exp(s * s * std::log(0.1))));
  CHECK(near(of(Sigmoid::kLongTail), 1 / (s * s * 9 + 1)));
  CHECK(near(of(Sigmoid::kReciprocal), 1 / (s * 9 + 1)));
  CHECK(near(of(Sigmoid::kLinear), 1 - s * 0.9));
  CHECK(near(of(Sigmoid::kQuadratic), 1 - s * s * 0.9));
  CHECK(near(of(Sigmoid::kCosine), (1 + std::cos(s * std::acos(-0.8))) / 2));
  CHECK(near(of(Sigmoid::kHyperbolic), 1 / std::cosh(s * std::acosh(10))));
  CHECK(
      near(of(Sigmoid::kTanhSquared), 1 - std::pow(std::tanh(s * std::atanh(std::sqrt(0.9))), 2)));
}

}  // namespace mentor::envs::TEST_FILE
