#include <algorithm>
#include <cmath>
#include <memory>
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
using mentor::testing::Options;
using mentor::testing::Settings;
using mentor::testing::Task;

struct World {
  World(const Settings& settings, double number)
      : environment(MakeEnvironment("grid_world", Options(settings)).value()),
        observation(environment->info().observation_size) {
    REQUIRE(environment->SetTask(Task("grid_world", {number})).ok());
  }

  void Begin(uint32_t episode) {
    REQUIRE(
        environment->Reset({.seed = 3, .purpose = Purpose::kEnvironmentReset}, episode, observation)
            .ok());
  }
  StepOutcome Do(int choice) {
    std::vector<float> action(5);
    WriteChoice(choice, action);
    return Act(*environment, action, &observation);
  }
  StepOutcome DoScript() {
    std::vector<float> action(5);
    REQUIRE(environment->ScriptedAction(action));
    return Act(*environment, action, &observation);
  }
  // The place of the first 1 among `count` numbers from `first` on; -1 without one.
  int One(int first, int count) const {
    const auto begin = observation.begin() + first;
    const auto at = std::find(begin, begin + count, 1.0);
    return at == begin + count ? -1 : static_cast<int>(at - begin);
  }

  std::unique_ptr<Environment> environment;
  std::vector<double> observation;
};

TEST_CASE("grid_world: a step moves by one cell, and stays at borders and walls", "[unit]") {
  World world({{"level", "empty_rooms"}}, 5);
  constexpr int kSize = 7;
  const auto wall = [](int cell) {
    const int row = cell / kSize, column = cell % kSize;
    return (column == 3 && row != 1 && row != 5) || (row == 3 && column != 1 && column != 5);
  };
  std::set<int> seen;
  for (uint32_t episode = 0; episode < 40; ++episode) {
    world.Begin(episode);
    bool over = false;
    for (int t = 0; t < 99 && !over; ++t) {
      const int before = world.One(0, kSize * kSize), choice = (t * t + t / 5 + 2 * episode) % 5;
      const int row = before / kSize, column = before % kSize;
      int to = before;
      if (choice == 0 && row > 0) to = before - kSize;
      if (choice == 1 && row < kSize - 1) to = before + kSize;
      if (choice == 2 && column > 0) to = before - 1;
      if (choice == 3 && column < kSize - 1) to = before + 1;
      if (wall(to)) to = before;
      over = world.Do(choice).terminated;
      CHECK(world.One(0, kSize * kSize) == to);
      CHECK(world.observation.back() == 0.001 * (t + 1));
      seen.insert(to);
    }
  }
  CHECK(seen.size() > 20);
}

TEST_CASE("grid_world: the goal of empty rooms is one cell for all episodes of a task", "[unit]") {
  std::set<int> goals;
  for (double number = 0; number < 12; ++number) {
    World world({{"level", "empty_rooms"}}, number);
    std::set<int> own, starts;
    for (uint32_t episode = 0; episode < 8; ++episode) {
      world.Begin(episode);
      starts.insert(world.One(0, 49));
      StepOutcome outcome;
      for (int t = 0; t < 30 && !outcome.terminated; ++t) outcome = world.DoScript();
      CHECK(outcome.reward == 1);
      CHECK(outcome.success);
      own.insert(world.One(0, 49));
    }
    CHECK(own.size() == 1);
    CHECK(starts.size() > 3);
    goals.insert(*own.begin());
  }
  CHECK(goals.size() > 5);
}

TEST_CASE("grid_world: what was collected comes back with its probability, not at once", "[unit]") {
  // Two objects that come back for certain, on nine cells.
  World tiny({{"level", "rand_tiny"}}, 1);
  tiny.Begin(0);
  const auto there = [&] { return std::count(&tiny.observation[9], &tiny.observation[18], 1.0); };
  CHECK(there() == 2);
  int collected = 0;
  for (int t = 0; t < 50; ++t) {
    const StepOutcome outcome = tiny.DoScript();
    CHECK(outcome.truncated == (t == 49));
    CHECK_FALSE(outcome.terminated);
    collected += outcome.reward == 1;
    CHECK(outcome.success == (outcome.reward > 0));
    // Not in the step in which it was taken.
    CHECK(there() == 2 - outcome.reward);
    CHECK(tiny.observation[9 + tiny.One(0, 9)] == 0);
  }
  CHECK(collected > 20);

  // Objects that come back with 0.05 in each step, where they were.
  World dense({{"level", "dense"}, {"view", "flags"}}, 1);
  int away = 0, back = 0;
  for (uint32_t episode = 0; episode < 8; ++episode) {
    dense.Begin(episode);
    bool over = false;
    for (int t = 0; t < 500 && !over; ++t) {
      const bool first = dense.observation[121] == 1;
      const StepOutcome outcome = dense.DoScript();
      over = outcome.terminated || outcome.truncated;
      CHECK(outcome.reward >= 0);  // The script goes around the bad ones.
      if (first) continue;
      ++away;
      back += dense.observation[121] == 1;
    }
    CHECK(over);
  }
  CHECK(away > 500);
  CHECK(std::abs(back - 0.05 * away) < 4 * std::sqrt(0.05 * 0.95 * away));
}

TEST_CASE("grid_world: what ends an episode does so with its probability", "[unit]") {
  const auto ends = [](const std::string& level) {
    int episodes = 0, ended = 0;
    World world({{"level", level}}, 3);
    for (uint32_t episode = 0; episode < 150; ++episode) {
      world.Begin(episode);
      StepOutcome outcome;
      // The script stands still where walls or bad objects close the way.
      for (int t = 0; t < 40 && outcome.reward == 0; ++t) outcome = world.DoScript();
      if (outcome.reward == 0) continue;
      ++episodes;
      ended += outcome.terminated;
    }
    REQUIRE(episodes > 50);
    return static_cast<double>(ended) / episodes;
  };
  CHECK(ends("sparse") == 1);
  CHECK(ends("long") == 0);
  CHECK(std::abs(ends("longer") - 0.1) < 4 * std::sqrt(0.09 / 150));
}

TEST_CASE("grid_world: views have the sizes of the levels, and a drawn grid is the task's",
          "[unit]") {
  const auto size = [](const Settings& settings) {
    return MakeEnvironment("grid_world", Options(settings)).value()->info().observation_size;
  };
  CHECK(size({}) == 11 * 11 * 16 + 1);
  CHECK(size({{"view", "flags"}}) == 11 * 11 + 4 + 1);
  CHECK(size({{"level", "rand_dense"}}) == 11 * 11 * 4 + 1);
  CHECK(size({{"level", "empty_rooms"}}) == 49 + 1);
  CHECK(size({{"level", "drawn_small"}}) == 36 * 8 + 1);

  // Another number is another grid: the script needs other steps, and episodes have other lengths.
  std::set<int> lengths;
  std::set<double> returns;
  for (double number = 0; number < 20; ++number) {
    World world({{"level", "drawn_small"}}, number);
    CHECK_FALSE(world.environment->info().independent_episodes);
    world.Begin(0);
    StepOutcome outcome;
    int steps = 0;
    double sum = 0;
    for (; steps < 100 && !outcome.terminated && !outcome.truncated; ++steps) {
      outcome = world.DoScript();
      sum += outcome.reward;
    }
    CHECK(sum >= 0);
    lengths.insert(steps);
    returns.insert(sum);
  }
  CHECK(lengths.size() > 8);
  CHECK(returns.size() > 8);

  auto made = MakeEnvironment("grid_world", {}).value();
  CHECK(made->SetTask(Task("grid_world", {0.5})).message() ==
        "task.parameters[0] of grid_world is 0.5; give an integer");
}

TEST_CASE("grid_world: the catalogue's hash is that of results recorded before it", "[unit]") {
  CHECK_FALSE(FindEnvironment("grid_world")->in_catalogue_hash);
}

}  // namespace mentor::envs::TEST_FILE
