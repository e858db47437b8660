#include <cmath>

#include "methods/base/outer_rule.h"
#include "tests/normals.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using torch::Tensor;

Tensor Numbers(std::vector<double> numbers) {
  return torch::tensor(numbers, torch::kFloat64);
}

TEST_CASE("the outer gradient's report: mean, variance and noise of a small case") {
  // Four lifetimes: means (2, 0), (0, 2) and (0, 0), by one, one and two.
  RuleReport report;
  const Tensor mean =
      ReportGradient({{1, Numbers({2, 0})}, {1, Numbers({0, 2})}, {2, Numbers({0, 0})}}, &report);
  CHECK(mean.equal(Numbers({0.5, 0.5})));
  CHECK(report.at("outer_grad_norm") == Approx(std::sqrt(0.5)));
  // (2.5 + 2.5 + 2 x 0.5) / (3 - 1) / 4.
  CHECK(report.at("outer_grad_variance") == Approx(0.75));
  CHECK(report.at("outer_grad_noise") == Approx(1.5));
}

TEST_CASE("the outer gradient's report: one part says nothing of the variance") {
  RuleReport report;
  ReportGradient({{8, Numbers({8, 16})}}, &report);
  CHECK(report == RuleReport({{"outer_grad_norm", std::sqrt(5.0)}}));
  // Zero gradients have no share of noise, either.
  report.clear();
  ReportGradient({{8, Numbers({0})}, {8, Numbers({0})}}, &report);
  CHECK(report == RuleReport({{"outer_grad_norm", 0}, {"outer_grad_variance", 0}}));
}

TEST_CASE("the outer gradient's report: the variance is unbiased, however lifetimes are parted") {
  // Twelve lifetimes with gradients of 50 numbers, each of variance 4: 50 x 4 / 12 for the mean.
  const auto parts = GENERATE(values<std::vector<int64_t>>({{6, 6}, {1, 11}, {5, 5, 2}}));
  double sum = 0;
  constexpr int kRounds = 400;
  for (uint32_t round = 0; round < kRounds; ++round) {
    std::vector<ShardGradient> gradients;
    uint32_t lifetime = 0;
    for (const int64_t count : parts) {
      Tensor part = torch::zeros({50}, torch::kFloat64);
      for (int64_t i = 0; i < count; ++i, ++lifetime) {
        part += 3 + 2 * testing::Normals({.seed = 1, .lifetime = lifetime}, round, {50},
                                         torch::kFloat64);
      }
      gradients.push_back({count, part});
    }
    RuleReport report;
    ReportGradient(gradients, &report);
    sum += report.at("outer_grad_variance");
  }
  CHECK(sum / kRounds == Approx(200.0 / 12).epsilon(0.05));
}

}  // namespace mentor::methods::TEST_FILE
