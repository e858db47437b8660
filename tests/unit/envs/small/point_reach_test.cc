#include <array>
#include <cmath>

#include "envs/environment.h"
#include "tests/environments.h"
#include "tests/specs.h"
#include "tests/testing.h"

namespace mentor::envs::TEST_FILE {

using mentor::testing::Near;

std::unique_ptr<Environment> Make(const testing::Settings& settings,
                                  const std::vector<double>& goal) {
  auto made = MakeEnvironment("point_reach", testing::Options(settings)).value();
  REQUIRE(made->SetTask(testing::Task("point_reach", goal)).ok());
  return made;
}

TEST_CASE("point_reach: motion, reward and success by hand", "[unit]") {
  // Tier V: two dimensions, goal visible.
  const auto environment = Make({}, {0.7, 0});
  CHECK(environment->info().observation_size == 4);
  CHECK(environment->info().action_size == 2);
  CHECK(environment->info().episode_steps == 10);
  std::vector<double> o(4);
  REQUIRE(environment->Reset({.seed = 3}, 0, o).ok());
  double x = o[0], y = o[1];
  CHECK(std::abs(x) < 0.3);
  CHECK(o[2] == 0.7 - x);
  CHECK(o[3] == 0 - y);
  bool succeeded = false;
  for (int t = 1; t <= 10; ++t) {
    const auto outcome =
        environment->Step(std::array{5.0f, -0.5f}, o);  // The first component is clipped to 1.
    REQUIRE(outcome.ok());
    x += 0.12;
    y -= 0.06;
    const double distance = std::hypot(x - 0.7, y);
    CHECK(o[0] == x);
    CHECK(Near(o[3], -y, {.abs = 1e-15}));
    CHECK(Near(outcome->reward, std::max(0.0, 1.4 - distance) / 0.7, {.rel = 1e-14}));
    CHECK(outcome->success == (distance < 0.2));
    succeeded = succeeded || outcome->success;
    CHECK(outcome->truncated == (t == 10));
    CHECK_FALSE(outcome->terminated);
  }
  CHECK_FALSE(succeeded);  // It passes below the goal: 0.36 at best.
}

TEST_CASE(
    "point_reach: the revealed view shows the goal on the last step alone, the hidden one never",
    "[unit]") {
  const auto revealed = Make(
      {{"dimension", "1"}, {"view", "revealed"}, {"dt", "0.2"}, {"episode_steps", "5"}}, {-0.7});
  std::vector<double> o(2);
  REQUIRE(revealed->Reset({.seed = 3}, 0, o).ok());
  std::vector<double> shown = {o[1]};
  for (int t = 0; t < 5; ++t) {
    REQUIRE(revealed->Step(std::array{-1.0f}, o).ok());
    shown.push_back(o[1]);
  }
  // Seen before step k = 4; then the episode is over.
  CHECK(shown == std::vector<double>{0, 0, 0, 0, -0.7, 0});

  const auto hidden =
      Make({{"dimension", "1"}, {"view", "hidden"}, {"rho", "0.3"}, {"dt", "0.25"}}, {0.7});
  CHECK(hidden->info().observation_size == 1);
}

TEST_CASE("point_reach: resets are normal with deviation 0.05, by lifetime, iteration and episode",
          "[unit]") {
  const auto environment = Make({}, {0.7, 0});
  std::vector<double> o(4);
  double sum = 0, square = 0;
  constexpr int n = 20000;
  for (int i = 0; i < n; ++i) {
    REQUIRE(
        environment->Reset({.seed = 1, .lifetime = static_cast<uint32_t>(i / 4)}, i % 4, o).ok());
    for (int k = 0; k < 2; ++k) {
      sum += o[k];
      square += o[k] * o[k];
    }
  }
  CHECK(std::abs(sum / (2 * n)) < 5 * 0.05 / std::sqrt(2.0 * n));
  CHECK(std::abs(square / (2 * n) - 0.0025) < 5 * 0.0025 / std::sqrt(n));
}

TEST_CASE("point_reach: goals are drawn at distance 0.7", "[unit]") {
  const EnvironmentEntry& entry = *FindEnvironment("point_reach");
  Violations violations;
  const OptionValues two = OptionValues::Parse(entry.options, {}, "", &violations);
  const OptionValues one =
      OptionValues::Parse(entry.options, testing::Options({{"dimension", "1"}}), "", &violations);
  const RandomStream random{.seed = 1, .purpose = Purpose::kTasks};
  constexpr int n = 20000;
  double x = 0, xx = 0;
  int positive = 0;
  for (uint32_t i = 0; i < n; ++i) {
    const v1::EnvironmentTask task = DrawTask(entry, two, random, i);
    REQUIRE(task.parameters_size() == 2);
    REQUIRE(Near(std::hypot(task.parameters(0), task.parameters(1)), 0.7, {.rel = 1e-14}));
    x += task.parameters(0) / n;
    xx += task.parameters(0) * task.parameters(0) / n;
    const v1::EnvironmentTask line = DrawTask(entry, one, random, i);
    REQUIRE(line.parameters_size() == 1);
    REQUIRE(std::abs(line.parameters(0)) == 0.7);
    positive += line.parameters(0) > 0;
  }
  // Uniform on the circle: mean 0, second moment r^2 / 2.
  CHECK(std::abs(x) < 5 * 0.7 * std::sqrt(0.5 / n));
  CHECK(std::abs(xx - 0.245) < 5 * 0.49 * std::sqrt(0.125 / n));
  CHECK(std::abs(positive - n / 2.0) < 5 * std::sqrt(n / 4.0));
}

TEST_CASE("point_reach: options and tasks that contradict each other are refused", "[unit]") {
  const auto made =
      MakeEnvironment("point_reach", testing::Options({{"dimension", "3"}}), "task.options");
  CHECK(made.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(std::string(made.status().message()) ==
        "task.options.dimension: is '3'; give an integer from 1 to 2; the default is 2");
  const auto hidden = Make({{"view", "hidden"}}, {0.7, 0});
  const v1::EnvironmentTask task = testing::Task("point_reach", {0.7, 0}, /*goal_visible=*/true);
  CHECK(hidden->SetTask(task).code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("umbrella_length: the greater number chooses, episodes differ in their coins", "[unit]") {
  const auto made = MakeEnvironment("umbrella_length", {}).value();
  Environment& environment = *made;
  REQUIRE(environment.SetTask(testing::Task("umbrella_length")).ok());
  std::vector<double> o(3);
  int rain = 0, shown = 0, successes = 0;
  double noise = 0;
  constexpr int n = 2000;
  for (uint32_t episode = 0; episode < n; ++episode) {
    REQUIRE(environment.Reset({.seed = 2, .purpose = Purpose::kEnvironmentReset}, episode, o).ok());
    const bool need = o[0] == 1;
    rain += need;
    shown += o[1] == 1;
    CHECK(o[2] == 1);
    const bool right = episode % 2 == 0;
    for (int t = 1; t <= 20; ++t) {
      // Only the first action counts; of equal numbers the first leaves the umbrella.
      const float take = t > 1 ? 3.0f : (need == right ? 1e-6f : 0.0f);
      const auto outcome = environment.Step(std::array{0.0f, take}, o);
      REQUIRE(outcome.ok());
      REQUIRE(outcome->terminated == (t == 20));
      REQUIRE_FALSE(outcome->truncated);
      if (t < 20) {
        REQUIRE(std::abs(outcome->reward) == 0.1);
        noise += outcome->reward;
      } else {
        REQUIRE(outcome->reward == (right ? 10 : -10));
        successes += outcome->success;
      }
    }
  }
  CHECK(successes == n / 2);
  CHECK(std::abs(rain - n / 2.0) < 5 * std::sqrt(n / 4.0));
  CHECK(std::abs(shown - n / 2.0) < 5 * std::sqrt(n / 4.0));
  CHECK(std::abs(noise) < 5 * 0.1 * std::sqrt(19.0 * n));
}

}  // namespace mentor::envs::TEST_FILE
