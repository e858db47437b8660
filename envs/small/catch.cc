// catch: move a paddle under a falling ball (bsuite, Osband et al. 2020; the program of DiscoRL, Oh
// et al. 2025; acceptance: docs/algorithms/small_environments.md#catch). A board of rows and
// columns; an episode ends when the ball is in the last row.
#include <algorithm>
#include <cmath>
#include <memory>

#include "envs/small/small_environment.h"

namespace mentor::envs::catch_game {
namespace {

constexpr char kName[] = "catch";
constexpr char kSummary[] = "Move a paddle under a falling ball (bsuite, DiscoRL).";
constexpr int kMoves = 3;  // Left, stay, right.

struct Config {
  int rows, columns;
};

const auto kOptions =
    Bind<Config>({{&Config::rows, "rows", "8", 2, 64, "Rows of the board; bsuite has 10."},
                  {&Config::columns, "columns", "8", 1, 64, "Its columns; bsuite has 5."}});

class Catch : public SmallEnvironment {
 public:
  explicit Catch(const Config& config)
      : SmallEnvironment({.info = {.name = kName,
                                   .summary = kSummary,
                                   .observation_size = config.rows * config.columns,
                                   .action_size = kMoves,
                                   .episode_steps = config.rows - 1,
                                   .discrete_actions = true},
                          .state = 2}),
        rows_(config.rows),
        columns_(config.columns) {}

 protected:
  // state := ball's column, paddle's column. The ball's row is the number of steps.
  void Begin() override {
    state()[0] = std::floor(Uniform(0) * columns_);
    state()[1] = columns_ / 2;  // The whole part, as in the source.
  }

  StepOutcome Advance(std::span<const float> action) override {
    state()[1] = std::clamp(state()[1] + Chosen(action) - 1, 0.0, columns_ - 1.0);
    if (steps() < rows_ - 1) return {};
    const bool caught = state()[0] == state()[1];
    return {.reward = caught ? 1.0 : -1.0, .success = caught, .terminated = true};
  }

  void Observe(std::span<double> observation) override {
    std::fill(observation.begin(), observation.end(), 0.0);
    observation[steps() * columns_ + static_cast<int>(state()[0])] = 1;
    observation[(rows_ - 1) * columns_ + static_cast<int>(state()[1])] = 1;
  }

  bool IsLegal() const override {
    return std::all_of(state().begin(), state().end(), [&](double column) {
      return column >= 0 && column < columns_ && column == std::floor(column);
    });
  }

  bool Script(std::span<float> action) const override {
    const double away = state()[0] - state()[1];
    WriteChoice(away < 0 ? 0 : away > 0 ? 2 : 1, action);
    return true;
  }

 private:
  const int rows_, columns_;
};

const RegisterEnvironment kRegister({
    .name = kName,
    .summary = kSummary,
    .options = kOptions.table(),
    .make = MadeBy<Catch>(kOptions),
    .observation_help = "the board row by row: 1 in the cells of ball and paddle, 0 elsewhere. "
                        "Actions: the greatest of three numbers moves left, stays or moves right",
    .reward_help = "in the last step 1 for a caught ball, which is a success, otherwise -1; 0 "
                   "before",
    .random_help = "the ball's column, for each episode; the paddle begins in the middle",
    .source = "Osband et al. 2020 (bsuite); Oh et al. 2025 (DiscoRL)",
    .in_catalogue_hash = false,
});

}  // namespace
}  // namespace mentor::envs::catch_game
