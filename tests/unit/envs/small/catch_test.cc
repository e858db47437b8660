#include <set>
#include <vector>

#include "envs/environment.h"
#include "tests/environments.h"
#include "tests/specs.h"
#include "tests/testing.h"

namespace mentor::envs::TEST_FILE {

using mentor::testing::Act;
using mentor::testing::Options;
using mentor::testing::Settings;
using mentor::testing::Task;

std::unique_ptr<Environment> Make(const Settings& settings) {
  auto made = MakeEnvironment("catch", Options(settings)).value();
  REQUIRE(made->SetTask(Task("catch", {})).ok());
  return made;
}

constexpr RandomStream kKey = {.seed = 3, .purpose = Purpose::kEnvironmentReset};

// Where the numbers of a board are 1.
std::vector<int> Lit(const std::vector<double>& board) {
  std::vector<int> cells;
  for (size_t i = 0; i < board.size(); ++i) {
    CHECK((board[i] == 0 || board[i] == 1));
    if (board[i] == 1) cells.push_back(static_cast<int>(i));
  }
  return cells;
}

TEST_CASE("catch: the ball falls a row a step, the paddle moves and stays on the board", "[unit]") {
  const auto environment = Make({{"rows", "5"}, {"columns", "3"}});
  std::vector<double> o(15);
  std::set<int> columns;
  for (uint32_t episode = 0; episode < 40; ++episode) {
    REQUIRE(environment->Reset(kKey, episode, o).ok());
    const int ball = Lit(o)[0];
    columns.insert(ball);
    // The paddle begins in column 3 / 2.
    CHECK(Lit(o) == std::vector<int>{ball, 12 + 1});
    // Left twice, against the border; then to the right, and stays.
    const std::vector<std::vector<float>> actions = {{1, 0, 0}, {1, 0, 0}, {0, 0, 1}, {0, 1, 0}};
    const std::vector<int> paddle = {12, 12, 13, 13};
    for (int t = 0; t < 4; ++t) {
      const StepOutcome outcome = Act(*environment, actions[t], &o);
      const int cell = ball + 3 * (t + 1);
      if (cell == paddle[t])
        CHECK(Lit(o) == std::vector<int>{cell});
      else
        CHECK(Lit(o) == std::vector<int>{std::min(cell, paddle[t]), std::max(cell, paddle[t])});
      CHECK(outcome.terminated == (t == 3));
      CHECK_FALSE(outcome.truncated);
      CHECK(outcome.reward == (t < 3 ? 0 : ball == 1 ? 1 : -1));
      CHECK(outcome.success == (t == 3 && ball == 1));
    }
    CHECK(environment->Step(actions[0], o).status().code() ==
          absl::StatusCode::kFailedPrecondition);
  }
  CHECK(columns == std::set<int>{0, 1, 2});
}

TEST_CASE("catch: a saved state names the ball's column and the paddle's", "[unit]") {
  const auto environment = Make({}), other = Make({});
  std::vector<double> o(64), again(64);
  REQUIRE(environment->Reset(kKey, 0, o).ok());
  Act(*environment, {0, 0, 1}, &o);
  const std::string state = environment->SaveState().value();
  REQUIRE(other->RestoreState(state, again).ok());
  CHECK(again == o);
  CHECK(Lit(o)[1] == 56 + 5);
  // Half a column cannot be: the last number of the state is the paddle's.
  std::vector<double> numbers;
  REQUIRE(DecodeState("catch", state, 11, 11, &numbers).ok());
  CHECK(numbers.back() == 5);
  numbers.back() = 4.5;
  CHECK_FALSE(other->RestoreState(EncodeState("catch", numbers), again).ok());
  numbers.back() = 8;
  CHECK_FALSE(other->RestoreState(EncodeState("catch", numbers), again).ok());
}

}  // namespace mentor::envs::TEST_FILE
