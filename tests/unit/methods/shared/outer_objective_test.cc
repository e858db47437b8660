// The outer objective's standardised advantages: what a floor on their standard deviation is for.
#include "methods/shared/outer_objective.h"

#include <torch/csrc/autograd/autograd.h>

#include "agents/agent_shape.h"
#include "agents/row_statistics.h"
#include "tests/normals.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

constexpr int64_t kAgents = 2, kRows = 64;

struct Problem {
  agents::AgentShape shape{
      .observation_size = 3, .action_size = 2, .hidden_units = 8, .critic = false};
  torch::Tensor theta;
  OuterRows rows;

  // Advantages with a standard deviation of about `size`.
  explicit Problem(double size) {
    const std::vector<uint32_t> lifetimes = {0, 1};
    theta = agents::InitialTheta(shape, /*initial_std=*/1, /*seed=*/1, Phase::kTraining, lifetimes);
    uint32_t number = 0;
    const auto normals = [&](torch::IntArrayRef axes) {
      return testing::Normals({.seed = 5, .purpose = Purpose::kTest}, number++, axes);
    };
    rows.observations = normals({kAgents, kRows, 3});
    rows.actions = normals({kAgents, kRows, 2});
    rows.log_probs = -0.5 * rows.actions.square().sum(-1) - 2 * 0.9189385;
    rows.advantages = size * normals({kAgents, kRows});
  }

  double GradientNorm(const OuterConfig& config, OuterStatistics* statistics = nullptr) const {
    const torch::Tensor leaf = theta.clone().requires_grad_(true);
    const torch::Tensor loss =
        OuterLoss(agents::AgentLayout(shape), leaf, rows, config, statistics);
    return torch::autograd::grad({loss.sum()}, {leaf})[0].norm().item<double>();
  }
};

TEST_CASE("outer objective: a segment in which nothing happened moves little, with a floor",
          "[unit]") {
  // The error of a critic where no step has a reward, beside advantages of successes.
  const Problem quiet(1e-4), eventful(1);
  const double full = eventful.GradientNorm({});
  REQUIRE(full > 0.01);

  OuterStatistics without, with, of_successes;
  CHECK(quiet.GradientNorm({}, &without) == Approx(full).epsilon(1e-3));
  CHECK(without.advantage_floored.eq(0).all().item<bool>());
  CHECK(without.advantage_std.max().item<double>() == Approx(1e-4).epsilon(0.3));

  const OuterConfig floor{.advantage_std_floor = 0.1};
  CHECK(quiet.GradientNorm(floor, &with) < 2e-3 * full);
  CHECK(with.advantage_floored.eq(1).all().item<bool>());
  CHECK(with.advantage_std.equal(without.advantage_std));

  // Where something happened it is not there.
  CHECK(eventful.GradientNorm(floor, &of_successes) == full);
  CHECK(of_successes.advantage_floored.eq(0).all().item<bool>());
}

TEST_CASE("row statistics: equal numbers standardise to zeros, with derivatives", "[unit]") {
  const torch::Tensor x = torch::full({kAgents, kRows}, 3.0, torch::kFloat64).requires_grad_(true);
  const torch::Tensor y = agents::Standardised(x);
  CHECK(y.eq(0).all().item<bool>());
  CHECK(torch::autograd::grad({y.square().sum() + y.sum()}, {x})[0].isfinite().all().item<bool>());
}

TEST_CASE("row statistics: standardised numbers have mean 0 and deviation 1", "[unit]") {
  const torch::Tensor x = torch::tensor({{1.0, 2.0, 6.0}, {-1.0, 0.0, 1.0}}, torch::kFloat64);
  CHECK(agents::Mean(x).equal(torch::tensor({3.0, 0.0}, torch::kFloat64)));
  // (4 + 1 + 9) / 2 = 7 and (1 + 0 + 1) / 2 = 1.
  CHECK(agents::StandardDeviation(x).equal(torch::tensor({7.0, 1.0}, torch::kFloat64).sqrt()));
  const torch::Tensor floored = agents::Standardised(x, {.epsilon = 0, .std_floor = 2});
  CHECK(floored[0][2].item<double>() == Approx(3 / std::sqrt(7.0)));
  CHECK(floored[1][2].item<double>() == 0.5);
}

}  // namespace mentor::methods::TEST_FILE
