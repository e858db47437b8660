// maze: walk through a small maze of cells to its goal; deterministic, for episodic control
// (Blundell et al. 2016, Pritzel et al. 2017; acceptance:
// docs/algorithms/small_environments.md#maze).
//
// A task's parameter is the number of the maze. Its walls are drawn cell by cell; a drawing whose
// goal cannot be reached is thrown away. The start is the first cell, the goal the last. The number
// of steps of an episode depends on the walk.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include <absl/strings/str_cat.h>

#include "envs/small/small_environment.h"

namespace mentor::envs::maze {
namespace {

constexpr char kName[] = "maze";
constexpr char kSummary[] = "Walk through a deterministic maze of 10x10 cells to its goal.";
constexpr int kDirections = 4;
constexpr int kRow[kDirections] = {-1, 0, 1, 0}, kColumn[kDirections] = {0, 1, 0, -1};
constexpr uint32_t kDrawingsMax = 10000;
constexpr double kWallShade = 0.25, kGoalShade = 0.5, kWalkerShade = 1;

struct Config {
  int size;
  double wall_density, step_reward;
  bool pixels;
  int episode_steps;
};

const auto kOptions = Bind<Config>(
    {{&Config::size, "size", "10", 2, 64, "Cells on each side."},
     {&Config::wall_density, "wall_density", "0.25", 0, 0.5, "Probability of a wall in a cell."},
     {&Config::step_reward, "step_reward", "-0.01", -1, 0,
      "Reward of each step; the step to the goal gets 1 besides."},
     {&Config::pixels,
      "view",
      {{"position", false}, {"pixels", true}},
      "What is seen: row and column, or the whole maze cell by cell."},
     {&Config::episode_steps, "episode_steps", "200", 1, 100000, "Steps of an episode at most."}});

class Maze : public SmallEnvironment {
 public:
  explicit Maze(const Config& config)
      : SmallEnvironment(
            {.info = {.name = kName,
                      .summary = kSummary,
                      .observation_size = config.pixels ? config.size * config.size : 2,
                      .action_size = kDirections,
                      .episode_steps = config.episode_steps,
                      .discrete_actions = true,
                      .independent_episodes = false},
             .state = 1,
             .parameters = 1,
             .parameters_are = "the number of the maze",
             .low = 0,
             .high = 4294967295.0}),
        size_(config.size),
        density_(config.wall_density),
        step_reward_(config.step_reward),
        pixels_(config.pixels) {}

 protected:
  // Draws the walls; to_goal_[cell] are the steps of a shortest way, -1 for walls and cells that
  // are cut off.
  absl::Status Prepare(std::span<const double> parameters) override {
    if (parameters[0] != std::floor(parameters[0])) {
      return absl::InvalidArgumentError(
          absl::StrCat("task.parameters[0] of maze is ", parameters[0], "; give an integer"));
    }
    const RandomStream random{.seed = static_cast<uint64_t>(parameters[0]),
                              .purpose = Purpose::kTasks};
    for (uint32_t drawing = 0; drawing < kDrawingsMax; ++drawing) {
      std::vector<bool> walls(Cells());
      for (int i = 1; i + 1 < Cells(); ++i)
        walls[i] = random.Uniform(drawing, static_cast<uint32_t>(i)) < density_;
      std::vector<int> to_goal = Distances(walls);
      if (to_goal[0] < 0) continue;
      walls_ = std::move(walls);
      to_goal_ = std::move(to_goal);
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        absl::StrCat("maze: no way through any of ", kDrawingsMax,
                     " drawings of this size; set a lower wall_density than ", density_));
  }

  // state := cell
  StepOutcome Advance(std::span<const float> action) override {
    const int to = Neighbour(Cell(), Chosen(action));
    if (to >= 0 && !walls_[to]) state()[0] = to;
    const bool there = Cell() == Cells() - 1;
    return {.reward = step_reward_ + (there ? 1 : 0), .success = there, .terminated = there};
  }

  void Observe(std::span<double> observation) override {
    if (!pixels_) {
      observation[0] = static_cast<double>(Cell() / size_) / (size_ - 1);
      observation[1] = static_cast<double>(Cell() % size_) / (size_ - 1);
      return;
    }
    for (int i = 0; i < Cells(); ++i) observation[i] = walls_[i] ? kWallShade : 0;
    observation[Cells() - 1] = kGoalShade;
    observation[Cell()] = kWalkerShade;
  }

  bool IsLegal() const override {
    const double cell = state()[0];
    return cell >= 0 && cell < Cells() && cell == std::floor(cell) &&
           to_goal_[static_cast<int>(cell)] >= 0;
  }

  // The first direction that comes nearer.
  bool Script(std::span<float> action) const override {
    for (int k = 0; k < kDirections; ++k) {
      const int to = Neighbour(Cell(), k);
      if (to < 0 || to_goal_[to] != to_goal_[Cell()] - 1) continue;
      WriteChoice(k, action);
      return true;
    }
    return false;
  }

 private:
  int Cells() const { return size_ * size_; }
  int Cell() const { return static_cast<int>(state()[0]); }
  // -1 beyond the border.
  int Neighbour(int cell, int direction) const {
    const int row = cell / size_ + kRow[direction], column = cell % size_ + kColumn[direction];
    if (row < 0 || row >= size_ || column < 0 || column >= size_) return -1;
    return row * size_ + column;
  }
  std::vector<int> Distances(const std::vector<bool>& walls) const {
    std::vector<int> distance(Cells(), -1), queue = {Cells() - 1};
    distance.back() = 0;
    for (size_t next = 0; next < queue.size(); ++next) {
      for (int k = 0; k < kDirections; ++k) {
        const int to = Neighbour(queue[next], k);
        if (to < 0 || walls[to] || distance[to] >= 0) continue;
        distance[to] = distance[queue[next]] + 1;
        queue.push_back(to);
      }
    }
    return distance;
  }

  const int size_;
  const double density_, step_reward_;
  const bool pixels_;
  // What the task's number says.
  std::vector<bool> walls_;
  std::vector<int> to_goal_;
};

const RegisterEnvironment kRegister({
    .name = kName,
    .summary = kSummary,
    .options = kOptions.table(),
    .make = MadeBy<Maze>(kOptions),
    .draw_parameters =
        [](const OptionValues&, const RandomStream& random, uint32_t index) {
          return std::vector<double>{static_cast<double>(random.Block(index, 0)[0])};
        },
    .task_help = "parameters: the number of the maze, an integer from 0 to 2^32 - 1",
    .observation_help =
        "row and column in [0, 1]; or the cells row by row: 0 free, 0.25 wall, 0.5 "
        "goal, 1 walker. Actions: the greatest of four numbers goes up, right, down "
        "or left; into a wall stays",
    .reward_help = "step_reward, and 1 besides at the goal, which ends the episode with success",
    .random_help = "none; the walls follow from the number of the maze",
    .source = "Blundell et al. 2016 (MFEC); Pritzel et al. 2017 (NEC)",
});

}  // namespace
}  // namespace mentor::envs::maze
