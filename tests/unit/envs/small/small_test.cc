#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "envs/environment.h"
#include "envs/small/small_environment.h"
#include "tests/environments.h"
#include "tests/specs.h"
#include "tests/testing.h"

namespace mentor::envs::TEST_FILE {

using mentor::testing::Act;
using mentor::testing::Near;
using mentor::testing::Options;
using mentor::testing::Settings;
using mentor::testing::Task;

v1::EnvironmentTask Drawn(const std::string& name, const Settings& settings, uint32_t index) {
  const EnvironmentEntry& entry = *FindEnvironment(name);
  Violations violations;
  const OptionValues values =
      OptionValues::Parse(entry.options, Options(settings), "", &violations);
  REQUIRE(violations.empty());
  return DrawTask(entry, values, {.seed = 1, .purpose = Purpose::kTasks}, index);
}

std::unique_ptr<Environment> Make(const std::string& name, const Settings& settings,
                                  const v1::EnvironmentTask& task) {
  auto made = MakeEnvironment(name, Options(settings)).value();
  const absl::Status set = made->SetTask(task);
  INFO(set.ToString());
  REQUIRE(set.ok());
  return made;
}

std::string Complaint(const std::string& name, const Settings& settings,
                      const std::vector<double>& parameters) {
  auto made = MakeEnvironment(name, Options(settings));
  if (!made.ok()) return std::string(made.status().message());
  const absl::Status status = (*made)->SetTask(Task(name, parameters));
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

RandomStream Key(uint32_t lifetime = 0) {
  return {.seed = 3, .purpose = Purpose::kEnvironmentReset, .lifetime = lifetime};
}

TEST_CASE("choices: the greatest number, the first of equals", "[unit]") {
  CHECK(Chosen(std::array{-1.0f, 0.5f, 0.5f}) == 1);
  CHECK(Chosen(std::array{0.0f, 0.0f}) == 0);
  for (int n : {2, 3, 7}) {
    for (int choice = 0; choice < n; ++choice) {
      std::vector<float> action(n);
      WriteChoice(choice, action);
      CHECK(Chosen(action) == choice);
    }
  }
}

TEST_CASE("umbrella_length: presets set both rewards, and refuse others beside them", "[unit]") {
  // final and noise reward of a failed and a noisy step.
  const auto rewards = [](const Settings& settings) {
    const auto environment = Make("umbrella_length", settings, Task("umbrella_length", {}));
    std::vector<double> o(environment->info().observation_size);
    REQUIRE(environment->Reset(Key(), 0, o).ok());
    const float wrong = o[0] == 1 ? 0.0f : 1.0f;
    double noise = 0;
    for (int t = 1;; ++t) {
      const StepOutcome outcome = Act(*environment, {1 - wrong, wrong}, &o);
      // The regret is counted where bsuite counts it.
      CHECK(environment->Info() == std::vector<double>{outcome.terminated ? 2.0 : 0.0});
      if (outcome.terminated) return std::array{-outcome.reward, noise};
      noise = std::abs(outcome.reward);
    }
  };
  CHECK(rewards({}) == std::array{10.0, 0.1});
  CHECK(rewards({{"preset", "paper"}}) == std::array{10.0, 0.1});
  CHECK(rewards({{"preset", "code"}}) == std::array{10.0, 0.5});
  CHECK(rewards({{"preset", "bsuite"}, {"length", "3"}}) == std::array{1.0, 1.0});
  CHECK(rewards({{"final_reward", "4"}, {"noise_reward", "2"}}) == std::array{4.0, 2.0});
  CHECK(Complaint("umbrella_length", {{"preset", "bsuite"}, {"final_reward", "4"}}, {}) ==
        "preset is bsuite, which sets final_reward and noise_reward: remove these two, or the "
        "preset");

  // bsuite's form: 20 distractors behind need, have and the countdown.
  const Settings bsuite = {{"preset", "bsuite"}, {"distractors", "20"}, {"length", "4"}};
  const auto environment = Make("umbrella_length", bsuite, Task("umbrella_length", {}));
  std::vector<double> o(23);
  REQUIRE(environment->Reset(Key(), 0, o).ok());
  std::vector<double> countdown = {o[2]};
  double coins = 0;
  std::vector<float> take(2);
  REQUIRE(environment->ScriptedAction(take));
  CHECK(Chosen(take) == (o[0] == 1 ? 1 : 0));
  StepOutcome outcome;
  for (int t = 0; t < 4; ++t) {
    outcome = Act(*environment, take, &o);
    countdown.push_back(o[2]);
    for (int i = 3; i < 23; ++i) {
      CHECK((o[i] == 0 || o[i] == 1));
      coins += o[i];
    }
  }
  CHECK(countdown == std::vector<double>{1, 0.75, 0.5, 0.25, 0});
  CHECK(outcome.reward == 1);
  CHECK(outcome.success);
  CHECK(environment->Info() == std::vector<double>{0});
  CHECK(std::abs(coins - 40) < 5 * std::sqrt(80 * 0.25));
}

TEST_CASE("point_mass: walls, reward and an end that is no truncation, by hand", "[unit]") {
  const auto environment = Make("point_mass", {}, Task("point_mass", {}));
  std::vector<double> o(2);
  REQUIRE(environment->Reset(Key(), 0, o).ok());
  double x = o[0], y = o[1];
  CHECK(std::abs(x) < 1);
  CHECK(std::abs(y) < 1);
  for (int t = 1; t <= 20; ++t) {
    const StepOutcome outcome = Act(*environment, {9.0f, -0.25f}, &o);
    x = std::min(1.5, x + 0.1);
    y -= 0.025;
    CHECK(o == std::vector<double>{x, y});
    CHECK(Near(outcome.reward, -std::hypot(x - 0.5, y + 0.3), {.rel = 1e-14}));
    CHECK(outcome.success == (outcome.reward > -0.1));
    CHECK(outcome.terminated == (t == 20));
    CHECK_FALSE(outcome.truncated);
  }
  CHECK(x == 1.5);

  CHECK(Complaint("point_mass", {}, {0.5, -0.3}) ==
        "task.parameters of point_mass has 2 numbers; it takes none, its options set the task");
  CHECK(Complaint("point_mass", {{"goal", "drawn"}}, {0, 1.6}) ==
        "task.parameters[1] of point_mass is 1.6; the goal lies between -1.5 and 1.5");
  const auto make = [&](double x) {
    return Make("point_mass", {{"goal", "drawn"}}, Task("point_mass", {x, 0}));
  };
  const auto first = make(0.5), second = make(0.25);
  REQUIRE(first->Reset(Key(), 0, o).ok());
  CHECK(second->RestoreState(first->SaveState().value(), o).message() ==
        "state of point_mass: belongs to another task");
  std::set<double> goals;
  for (uint32_t i = 0; i < 50; ++i) {
    const v1::EnvironmentTask task = Drawn("point_mass", {{"goal", "drawn"}}, i);
    REQUIRE(task.parameters_size() == 2);
    for (double number : task.parameters()) {
      CHECK(std::abs(number) < 1);
      goals.insert(number);
    }
  }
  CHECK(goals.size() == 100);
}

TEST_CASE("point_navigation: MAML's square, dense reward and end near the goal, by hand",
          "[unit]") {
  const auto environment = Make("point_navigation", {}, Task("point_navigation", {0.25, -0.5}));
  CHECK_FALSE(environment->info().independent_episodes);
  CHECK(environment->info().episode_steps == 100);
  std::vector<double> o(2);
  REQUIRE(environment->Reset(Key(), 0, o).ok());
  CHECK(o == std::vector<double>{0, 0});
  StepOutcome outcome = Act(*environment, {1.0f, -3.0f}, &o);  // To (0.1, -0.1).
  CHECK(o == std::vector<double>{0.1, -0.1});
  CHECK(Near(outcome.reward, -(0.15 * 0.15 + 0.4 * 0.4), {.rel = 1e-14}));
  CHECK_FALSE(outcome.success);
  for (int t = 2; t <= 4; ++t) outcome = Act(*environment, {0.5f, -1.0f}, &o);  // (0.25, -0.4)
  CHECK(outcome.success);
  CHECK_FALSE(outcome.terminated);
  outcome = Act(*environment, {0.0f, -1.0f}, &o);
  CHECK(outcome.terminated);
  CHECK(outcome.reward > -1e-20);
  const std::vector<float> action(2);
  CHECK(environment->Step(action, o).status().code() == absl::StatusCode::kFailedPrecondition);

  CHECK(Complaint("point_navigation", {}, {0.6, 0}) ==
        "task.parameters[0] of point_navigation is 0.6; the goal lies between -0.5 and 0.5");
  for (uint32_t i = 0; i < 200; ++i) {
    const v1::EnvironmentTask task = Drawn("point_navigation", {}, i);
    for (double number : task.parameters()) CHECK(std::abs(number) <= 0.5);
  }
}

TEST_CASE("point_navigation: MAESN's half circle and its reward near the goal alone", "[unit]") {
  const Settings maesn = {{"goals", "half_circle"}, {"reward", "sparse"}, {"stop_distance", "0"}};
  const auto environment = Make("point_navigation", maesn, Task("point_navigation", {0, 2}));
  CHECK(environment->info().independent_episodes);
  std::vector<double> o(2);
  REQUIRE(environment->Reset(Key(), 0, o).ok());
  for (int t = 1; t <= 100; ++t) {
    // Twenty steps to the goal; then it stays.
    const StepOutcome outcome = Act(*environment, {0.0f, t <= 20 ? 1.0f : 0.0f}, &o);
    const double distance = std::abs(2 - 0.1 * std::min(t, 20));
    const bool near = t >= 19;  // t = 18 stands at 0.2, give or take a rounding.
    if (t != 18) {
      CHECK(Near(outcome.reward, near ? 1 - distance : 0, {.abs = 1e-12}));
      CHECK(outcome.success == near);
    }
    CHECK_FALSE(outcome.terminated);
    CHECK(outcome.truncated == (t == 100));
  }
  CHECK(Complaint("point_navigation", maesn, {0, 1.5}).find("at distance 2") != std::string::npos);
  CHECK(Complaint("point_navigation", maesn, {0, -2}).find("not negative") != std::string::npos);
  int left = 0;
  for (uint32_t i = 0; i < 2000; ++i) {
    const v1::EnvironmentTask task = Drawn("point_navigation", maesn, i);
    CHECK(Near(std::hypot(task.parameters(0), task.parameters(1)), 2, {.rel = 1e-14}));
    CHECK(task.parameters(1) >= 0);
    left += task.parameters(0) < 0;
  }
  CHECK(std::abs(left - 1000) < 5 * std::sqrt(500.0));

  const Settings near = {{"goals", "half_circle"}, {"radius", "0.5"}};
  CHECK(Complaint("point_navigation", near, {0, 2}).find("between -0.5 and 0.5") !=
        std::string::npos);
  CHECK(Complaint("point_navigation", near, {0, 0.4}).find("at distance 0.5") != std::string::npos);
  const v1::EnvironmentTask task = Drawn("point_navigation", near, 3);
  CHECK(Near(std::hypot(task.parameters(0), task.parameters(1)), 0.5, {.rel = 1e-14}));
}

TEST_CASE("bernoulli_bandit: arms pay at their rates, regret and success by hand", "[unit]") {
  const auto two = Make("bernoulli_bandit", {}, Task("bernoulli_bandit", {0.25, 0.75}));
  std::vector<double> o(1);
  constexpr int n = 4000;
  for (int arm = 0; arm < 2; ++arm) {
    double paid = 0;
    for (uint32_t episode = 0; episode < n; ++episode) {
      REQUIRE(two->Reset(Key(), episode, o).ok());
      CHECK(o[0] == 1);
      const StepOutcome outcome = Act(*two, {0.0f, arm == 1 ? 0.1f : -0.1f}, &o);
      CHECK((outcome.reward == 0 || outcome.reward == 1));
      CHECK(outcome.truncated);  // An episode is a pull.
      CHECK(outcome.success == (arm == 1));
      CHECK(two->Info() == std::vector<double>{arm == 1 ? 0 : 0.5});
      paid += outcome.reward;
    }
    CHECK(std::abs(paid - n * (arm == 1 ? 0.75 : 0.25)) < 5 * std::sqrt(n * 0.1875));
  }

  // Certain arms: the greatest number pulls.
  const auto four = Make("bernoulli_bandit", {{"arms", "4"}, {"pulls", "8"}},
                         Task("bernoulli_bandit", {0, 1, 0, 1}));
  REQUIRE(four->Reset(Key(), 0, o).ok());
  for (int t = 0; t < 8; ++t) {
    std::vector<float> action = {-2, -2, -2, -2};
    action[t % 4] = -1;
    const StepOutcome outcome = Act(*four, action, &o);
    CHECK(outcome.reward == t % 2);
    CHECK(outcome.success == (t % 2 == 1));
    CHECK(outcome.truncated == (t == 7));
  }

  const v1::EnvironmentTask task =
      Drawn("bernoulli_bandit", {{"probabilities", "complementary"}}, 3);
  CHECK(task.parameters(0) + task.parameters(1) == 1);
  CHECK(Complaint("bernoulli_bandit", {}, {0.5, 1.5}) ==
        "task.parameters[1] of bernoulli_bandit is 1.5; the probability of each arm lies between 0 "
        "and 1");
  CHECK(Complaint("bernoulli_bandit", {{"arms", "3"}, {"probabilities", "complementary"}}, {}) ==
        "probabilities is complementary, which takes two arms; set arms to 2");
}

TEST_CASE("contextual_bandit: contexts come back, each once in a round, under their barcode",
          "[unit]") {
  const v1::EnvironmentTask task = Drawn("contextual_bandit", {}, 0);
  REQUIRE(task.parameters_size() == 20);
  std::map<double, int> best;  // By barcode.
  for (int i = 0; i < 10; ++i)
    best[task.parameters(2 * i)] = static_cast<int>(task.parameters(2 * i + 1));
  REQUIRE(best.size() == 10);

  const auto environment = Make("contextual_bandit", {}, task);
  std::vector<double> o(10);
  std::vector<std::vector<double>> rounds(3);
  double paid_best = 0, paid_other = 0;
  for (uint32_t lifetime = 0; lifetime < 20; ++lifetime) {
    for (uint32_t episode = 0; episode < 30; ++episode) {
      REQUIRE(environment->Reset(Key(lifetime), episode, o).ok());
      double code = 0;
      for (int i = 0; i < 10; ++i) code += o[i] * std::ldexp(1, i);
      REQUIRE(best.count(code) == 1);
      if (lifetime == 0) rounds[episode / 10].push_back(code);
      std::vector<float> script(2);
      REQUIRE(environment->ScriptedAction(script));
      CHECK(Chosen(script) == best[code]);
      for (int pull = 0; pull < 10; ++pull) {
        // The best arm at even pulls.
        const int arm = pull % 2 == 0 ? 0 : 1;
        const StepOutcome outcome = Act(*environment, {script[arm], script[1 - arm]}, &o);
        CHECK(outcome.success == (pull == 0));
        (pull % 2 == 0 ? paid_best : paid_other) += outcome.reward;
      }
    }
  }
  for (std::vector<double>& round : rounds)
    CHECK(std::set<double>(round.begin(), round.end()).size() == 10);
  CHECK(rounds[0] != rounds[1]);
  CHECK(rounds[1] != rounds[2]);
  CHECK(std::abs(paid_best - 3000 * 0.9) < 5 * std::sqrt(3000 * 0.09));
  CHECK(std::abs(paid_other - 3000 * 0.1) < 5 * std::sqrt(3000 * 0.09));

  const Settings two = {{"contexts", "2"}, {"bits", "5"}};
  CHECK(Complaint("contextual_bandit", two, {3, 0, 3, 1}).find("same barcode 3") !=
        std::string::npos);
  CHECK(Complaint("contextual_bandit", two, {32, 0, 3, 1}).find("from 0 to 31") !=
        std::string::npos);
  CHECK(Complaint("contextual_bandit", two, {1, 0, 3, 2}).find("the best arm of context 1 is 2") !=
        std::string::npos);
  CHECK(Complaint("contextual_bandit", {{"contexts", "17"}, {"bits", "5"}}, {})
            .find("set more bits") != std::string::npos);
}

TEST_CASE("quadratic_function: guesses are paid by their distance, and the value is shown after",
          "[unit]") {
  const std::vector<double> c = {0.5, -1, 0.25, 1, -0.75, 0.125};
  const auto environment =
      Make("quadratic_function", {{"episode_steps", "5"}}, Task("quadratic_function", c));
  REQUIRE(environment->info().has_labels);
  std::vector<double> o(3), points;
  REQUIRE(environment->Reset(Key(), 0, o).ok());
  CHECK(o[2] == 0);
  for (int t = 1; t <= 5; ++t) {
    const double x1 = o[0], x2 = o[1];
    CHECK(std::abs(x1) <= 1);
    CHECK(std::abs(x2) <= 1);
    points.push_back(x1);
    points.push_back(x2);
    const double y = 0.5 * x1 * x1 - x2 * x2 + 0.25 * x1 * x2 + x1 - 0.75 * x2 + 0.125;
    const float guess = t == 3 ? 1000 : 0.5f;  // Unclipped, however far.
    const StepOutcome outcome = Act(*environment, {guess}, &o);
    CHECK(Near(outcome.reward, -(guess - y) * (guess - y), {.rel = 1e-12}));
    REQUIRE(outcome.label.size() == 1);
    CHECK(outcome.label[0] == static_cast<float>(y));
    CHECK(Near(o[2], y, {.abs = 1e-14}));
    CHECK_FALSE(outcome.success);
    CHECK(outcome.truncated == (t == 5));
  }
  // Each point is drawn, and drawn anew in another episode.
  std::sort(points.begin(), points.end());
  CHECK(std::adjacent_find(points.begin(), points.end()) == points.end());
  REQUIRE(environment->Reset(Key(), 1, o).ok());
  CHECK_FALSE(std::binary_search(points.begin(), points.end(), o[0]));
  CHECK(Complaint("quadratic_function", {}, {0, 0, 0, 2, 0, 0}).find("coefficients") !=
        std::string::npos);
}

TEST_CASE("box_2d: moves end at the walls, nothing is paid", "[unit]") {
  const auto environment = Make("box_2d", {}, Task("box_2d", {}));
  std::vector<double> o(2);
  REQUIRE(environment->Reset(Key(), 0, o).ok());
  CHECK(o == std::vector<double>{0, 0});
  for (int t = 1; t <= 20; ++t) {
    const StepOutcome outcome = Act(*environment, {7.0f, -0.5f}, &o);
    CHECK(Near(o[0], std::min(1.0, 0.1 * t), {.abs = 1e-14}));
    CHECK(Near(o[1], -0.05 * t, {.abs = 1e-14}));
    CHECK(outcome.reward == 0);
    CHECK_FALSE(outcome.success);
    CHECK(outcome.truncated == (t == 20));
  }
  CHECK(o[0] == 1);
}

TEST_CASE("maze: a walk by hand, borders hold, the goal ends it", "[unit]") {
  const auto environment = Make("maze", {{"size", "3"}, {"wall_density", "0"}}, Task("maze", {7}));
  std::vector<double> o(2);
  REQUIRE(environment->Reset(Key(), 0, o).ok());
  const auto go = [&](int direction) {
    std::vector<float> action(4, -1.0f);
    action[direction] = 1;
    return Act(*environment, action, &o);
  };
  constexpr int kUp = 0, kRight = 1, kDown = 2, kLeft = 3;
  using Place = std::vector<double>;
  CHECK(o == Place{0, 0});
  CHECK(go(kUp).reward == -0.01);
  CHECK(o == Place{0, 0});
  go(kLeft);
  CHECK(o == Place{0, 0});
  go(kRight);
  CHECK(o == Place{0, 0.5});
  go(kDown);
  CHECK(o == Place{0.5, 0.5});
  go(kLeft);
  CHECK(o == Place{0.5, 0});
  go(kUp);
  CHECK(o == Place{0, 0});
  for (int direction : {kDown, kDown, kRight}) CHECK_FALSE(go(direction).terminated);
  CHECK(o == Place{1, 0.5});
  const StepOutcome last = go(kRight);
  CHECK(o == Place{1, 1});
  CHECK(last.terminated);
  CHECK(last.success);
  CHECK(Near(last.reward, 0.99, {.rel = 1e-15}));
}

TEST_CASE("maze: walls are those of its number, and the script takes a shortest way", "[unit]") {
  std::set<std::vector<double>> pictures;
  int walls = 0, turned_away = 0;
  for (uint32_t index = 0; index < 40; ++index) {
    const v1::EnvironmentTask task = Drawn("maze", {}, index);
    const auto environment = Make("maze", {{"view", "pixels"}}, task);
    std::vector<double> o(100);
    REQUIRE(environment->Reset(Key(), index, o).ok());
    CHECK(o[0] == 1);
    CHECK(o[99] == 0.5);
    const std::vector<double> picture = o;
    pictures.insert(picture);
    walls += static_cast<int>(std::count(o.begin(), o.end(), 0.25));
    // Steps from the start by relaxation, on the picture alone.
    std::vector<int> distance(100, 1000);
    distance[0] = 0;
    for (int sweep = 0; sweep < 100; ++sweep) {
      for (int cell = 0; cell < 100; ++cell) {
        if (picture[cell] == 0.25) continue;
        if (cell % 10 > 0) distance[cell] = std::min(distance[cell], distance[cell - 1] + 1);
        if (cell % 10 < 9) distance[cell] = std::min(distance[cell], distance[cell + 1] + 1);
        if (cell > 9) distance[cell] = std::min(distance[cell], distance[cell - 10] + 1);
        if (cell < 90) distance[cell] = std::min(distance[cell], distance[cell + 10] + 1);
      }
    }
    // A wall beside the start turns away.
    if (picture[1] == 0.25) {
      Act(*environment, {-1, 1, -1, -1}, &o);
      CHECK(o == picture);
      ++turned_away;
      REQUIRE(environment->Reset(Key(), index, o).ok());
    }
    std::vector<float> action(4);
    StepOutcome outcome;
    int steps = 0;
    while (!outcome.terminated && steps < 200) {
      REQUIRE(environment->ScriptedAction(action));
      outcome = Act(*environment, action, &o);
      ++steps;
    }
    CHECK(outcome.success);
    CHECK(steps == distance[99]);
  }
  CHECK(pictures.size() == 40);
  CHECK(turned_away > 0);
  // Mazes without a way through are discarded, which favours fewer walls.
  CHECK(std::abs(walls - 40 * 98 * 0.23) < 5 * std::sqrt(40 * 98 * 0.19));
  CHECK(Complaint("maze", {}, {0.5}) == "task.parameters[0] of maze is 0.5; give an integer");
}

TEST_CASE("small environments: hand-written policies succeed where there is one", "[unit]") {
  const std::map<std::string, Settings> solved = {
      {"point_reach", {{"episode_steps", "10"}}},
      {"point_mass", {{"goal", "drawn"}, {"episode_steps", "30"}}},
      {"point_navigation", {}},
      {"umbrella_length", {}},
      {"bernoulli_bandit", {{"arms", "5"}}},
      {"contextual_bandit", {{"arms", "3"}}},
      {"catch", {}},
      {"maze", {}}};
  for (const auto& [name, settings] : solved) {
    INFO(name);
    for (uint32_t index = 0; index < 20; ++index) {
      const auto environment = Make(name, settings, Drawn(name, settings, index));
      std::vector<double> o(environment->info().observation_size);
      std::vector<float> action(environment->info().action_size);
      CHECK_FALSE(environment->ScriptedAction(action));  // Before a reset.
      REQUIRE(environment->Reset(Key(index), index, o).ok());
      bool success = false, done = false;
      while (!done) {
        REQUIRE(environment->ScriptedAction(action));
        const StepOutcome outcome = Act(*environment, action, &o);
        success = success || outcome.success;
        done = outcome.terminated || outcome.truncated;
      }
      CHECK(success);
    }
  }
}

}  // namespace mentor::envs::TEST_FILE
