// grid_world: collect objects on a grid (Oh et al. 2020, as released with Jackson et al. 2023;
// docs/algorithms/small_environments.md#grid-worlds). Each type of object has a reward, a
// probability that collecting it ends the episode, and a probability per step that it comes back.
//
// A task's parameter is the number of the grid. The cells of start and objects are drawn from it;
// in the levels `drawn...` all else is, too.
#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/exact_math.h"
#include "envs/small/small_environment.h"

namespace mentor::envs::grid_world {
namespace {

constexpr char kName[] = "grid_world";
constexpr char kSummary[] = "Collect good objects on a grid and avoid bad ones (Oh et al. 2020).";
constexpr int kActions = 5;  // Up, down, left, right, stay.
constexpr int kStay = 4;
constexpr int kRow[kActions] = {-1, 1, 0, 0, 0}, kColumn[kActions] = {0, 0, -1, 1, 0};
constexpr double kTimeScale = 0.001;  // Scale of the observation's last number.

struct Type {
  double reward, ends, returns;
};

// A wall along column and row, each with two doors.
struct Walls {
  int column = -1;
  std::array<int, 2> column_doors = {};
  int row = -1;
  std::array<int, 2> row_doors = {};
  std::vector<int> cells = {};  // More of them.
};

// What a task draws in the levels `drawn...`; ranges include both ends.
struct Drawn {
  std::array<int, 2> size, objects, steps;
  int walls = 0;
};

struct Level {
  int size = 0;   // Cells on each side; the greatest of a drawn level.
  int steps = 0;  // Greatest length of an episode, likewise.
  std::vector<Type> types = {};
  std::vector<int> objects = {};  // The type of each.
  Walls walls = {};
  bool moving = false;    // Objects lie elsewhere in each episode, and wherever they come back.
  bool anywhere = false;  // Episodes begin in any free cell, not in the task's.
  bool hidden = false;    // Objects are not seen.
  std::vector<Drawn> drawn = {};  // At most one.
};

enum class View { kAuto, kTabular, kPlanes, kFlags, kCell };

const std::vector<Type> kDense = {{1, 0, 0.05}, {-1, 0.5, 0.1}, {-1, 0, 0.5}};
const std::vector<Type> kLong = {{1, 0, 0.01}, {-1, 0.5, 1}};

Level DrawnLevel(const Drawn& drawn) {
  const int most = drawn.objects[1];
  Level level{.size = drawn.size[1], .steps = drawn.steps[1], .types = {}, .objects = {}};
  level.types.resize(most, {0, 0.5, 0});
  for (int i = 0; i < most; ++i) level.objects.push_back(i);
  level.drawn = {drawn};
  return level;
}

std::vector<std::pair<std::string, Level>> Levels() {
  return {
      {"dense", {.size = 11, .steps = 500, .types = kDense, .objects = {0, 0, 1, 2}}},
      {"sparse", {.size = 13, .steps = 50, .types = {{1, 1, 0}, {-1, 1, 0}}, .objects = {0, 1}}},
      {"long", {.size = 11, .steps = 1000, .types = kLong, .objects = {0, 0, 1, 1}}},
      {"longer",
       {.size = 9,
        .steps = 2000,
        .types = {{1, 0.1, 0.01}, {-1, 0.8, 1}},
        .objects = {0, 0, 1, 1, 1},
        .walls = {.column = 4, .column_doors = {1, 7}}}},
      {"long_dense",
       {.size = 11,
        .steps = 2000,
        .types = {{1, 0, 0.005}},
        .objects = {0, 0, 0, 0},
        .walls = {.column = 5, .column_doors = {0, 7}, .row = 4, .row_doors = {2, 8}}}},
      {"rand_dense",
       {.size = 11, .steps = 500, .types = kDense, .objects = {0, 0, 1, 2}, .moving = true}},
      {"rand_long",
       {.size = 11, .steps = 1000, .types = kLong, .objects = {0, 0, 1, 1}, .moving = true}},
      {"rand_small",
       {.size = 7,
        .steps = 500,
        .types = {{1, 0, 0.05}, {-1, 0.5, 0.1}},
        .objects = {0, 0, 1, 1},
        .walls = {.cells = {9, 25}},
        .moving = true}},
      {"rand_sparse",
       {.size = 7,
        .steps = 50,
        .types = {{1, 1, 1}, {-1, 1, 1}},
        .objects = {0, 1, 1},
        .moving = true}},
      {"rand_very_dense",
       {.size = 11, .steps = 2000, .types = {{1, 0, 1}}, .objects = {0}, .moving = true}},
      {"rand_tiny",
       {.size = 3, .steps = 50, .types = {{1, 0, 1}}, .objects = {0, 0}, .moving = true}},
      {"drawn_small",
       DrawnLevel({.size = {4, 6}, .objects = {1, 3}, .steps = {20, 100}, .walls = 7})},
      {"drawn", DrawnLevel({.size = {4, 10}, .objects = {1, 5}, .steps = {20, 750}, .walls = 15})},
      {"empty_rooms",
       {.size = 7,
        .steps = 100,
        .types = {{1, 1, 0}},
        .objects = {0},
        .walls = {.column = 3, .column_doors = {1, 5}, .row = 3, .row_doors = {1, 5}},
        .anywhere = true,
        .hidden = true}},
  };
}

struct Config {
  Level level;
  View view;
  int episode_steps;
};

const auto kOptions = Bind<Config>(
    {{&Config::level, "level", Levels(),
      "The ten levels of the paper (their objects lie still, or move: rand_...), a tiny one, grids "
      "whose size, walls and objects each task draws, or four rooms with one unseen goal."},
     {&Config::view,
      "view",
      {{"auto", View::kAuto},
       {"tabular", View::kTabular},
       {"planes", View::kPlanes},
       {"flags", View::kFlags},
       {"cell", View::kCell}},
      "What is seen: one of all states, the cells of walker and of each type, the walker's cell "
      "and which objects are there, or the walker's cell alone; auto: tabular where objects lie "
      "still, planes where they move, cell in empty_rooms."},
     {&Config::episode_steps, "episode_steps", "0", 0, 100000,
      "Steps of an episode at most; 0: those of the level. A drawn level has at most these."}});

View ViewOf(const Config& config) {
  if (config.view != View::kAuto) return config.view;
  if (config.level.hidden) return View::kCell;
  return config.level.moving ? View::kPlanes : View::kTabular;
}

int ObservationSize(const Config& config) {
  const int cells = config.level.size * config.level.size;
  const int objects = static_cast<int>(config.level.objects.size());
  switch (ViewOf(config)) {
    case View::kTabular:
      return (cells << objects) + 1;
    case View::kPlanes:
      return cells * (1 + static_cast<int>(config.level.types.size())) + 1;
    case View::kFlags:
      return cells + objects + 1;
    default:
      return cells + 1;
  }
}

// Episodes have one length where nothing that a task may hold ends them.
bool OneLength(const Level& level) {
  return std::all_of(level.types.begin(), level.types.end(),
                     [](const Type& type) { return type.ends == 0; });
}

double LogUniform(double low, double high, double u) {
  return exact::Exp(exact::Log(low) + u * (exact::Log(high) - exact::Log(low)));
}

class GridWorld : public SmallEnvironment {
 public:
  explicit GridWorld(const Config& config)
      : SmallEnvironment({.info = {.name = kName,
                                   .summary = kSummary,
                                   .observation_size = ObservationSize(config),
                                   .action_size = kActions,
                                   .episode_steps = config.episode_steps > 0 ? config.episode_steps
                                                                             : config.level.steps,
                                   .discrete_actions = true,
                                   .independent_episodes = OneLength(config.level)},
                          .state = 1 + 2 * static_cast<int>(config.level.objects.size()),
                          .parameters = 1,
                          .parameters_are = "the number of the grid",
                          .low = 0,
                          .high = 4294967295.0}),
        config_(config),
        view_(ViewOf(config)) {
    taken_.reserve(2 * config.level.objects.size() + 1);
    cells_.reserve(config.level.size * config.level.size);
  }

 protected:
  absl::Status Prepare(std::span<const double> parameters) override {
    if (parameters[0] != std::floor(parameters[0])) {
      return absl::InvalidArgumentError(
          absl::StrCat("task.parameters[0] of grid_world is ", parameters[0], "; give an integer"));
    }
    const RandomStream random{.seed = static_cast<uint64_t>(parameters[0]),
                              .purpose = Purpose::kTasks};
    level_ = config_.level;
    if (!level_.drawn.empty()) DrawLevel(random);
    walls_ = WallsOf(level_, random);
    taken_.clear();
    DrawPlaces(Num() + 1, random, /*step=*/0, /*first_draw=*/0);
    places_.assign(cells_.begin(), cells_.begin() + Num() + 1);
    return absl::OkStatus();
  }

  // state := cell (place there)*, by object; 0 0 for objects that a drawn grid lacks.
  void Begin() override {
    taken_.clear();
    if (level_.moving) taken_.push_back(places_[0]);  // The walker's.
    if (level_.moving || level_.anywhere) DrawPlaces(Num() + 1, random(), episode(), 0);
    const std::vector<int>& at = level_.moving || level_.anywhere ? cells_ : places_;
    state()[0] = level_.anywhere ? at[0] : places_[0];
    for (int i = 0; i < Num(); ++i) {
      Place(i) = (level_.moving ? at : places_)[i + 1];
      There(i) = 1;
    }
    // An unseen goal stays where it is; a walker that would begin there begins in the task's start.
    if (level_.anywhere && at[0] == places_[1]) state()[0] = places_[0];
  }

  StepOutcome Advance(std::span<const float> action) override {
    state()[0] = Next(Cell(), Chosen(action));
    const auto draw = static_cast<uint32_t>(steps() * (2 * Most() + 2));
    StepOutcome outcome;
    double ends = 0;
    taken_.assign(1, Cell());
    for (int i = 0; i < Num(); ++i) taken_.push_back(static_cast<int>(Place(i)));
    for (int i = 0; i < Num(); ++i) {
      const Type& type = level_.types[level_.objects[i]];
      if (There(i) == 1) {
        if (Place(i) != Cell()) continue;
        There(i) = 0;
        outcome.reward += type.reward;
        outcome.success = outcome.success || type.reward > 0;
        ends += type.ends;
      } else if (Uniform(draw + 1 + static_cast<uint32_t>(i)) < type.returns) {
        There(i) = 1;
        const uint32_t place = draw + 1 + static_cast<uint32_t>(Most() + i);
        if (!level_.moving || !DrawPlaces(1, random(), episode(), place)) continue;
        Place(i) = cells_[0];
        taken_.push_back(cells_[0]);
      }
    }
    outcome.terminated = Uniform(draw) < ends || (steps() >= level_.steps && IsDrawn());
    return outcome;
  }

  void Observe(std::span<double> observation) override {
    std::fill(observation.begin(), observation.end(), 0.0);
    const int cells = config_.level.size * config_.level.size;
    int flags = 0;
    for (int i = 0; i < Num(); ++i) flags |= There(i) == 1 ? 1 << i : 0;
    observation[(view_ == View::kTabular ? flags * cells : 0) + Cell()] = 1;
    for (int i = 0; i < Num(); ++i) {
      if (There(i) == 0) continue;
      if (view_ == View::kFlags) observation[cells + i] = 1;
      if (view_ == View::kPlanes)
        observation[cells * (1 + level_.objects[i]) + static_cast<int>(Place(i))] = 1;
    }
    observation.back() = kTimeScale * steps();
  }

  bool IsLegal() const override {
    const auto cell = [&](double x) {
      return x >= 0 && x < level_.size * level_.size && x == std::floor(x) &&
             !walls_[static_cast<int>(x)];
    };
    for (int i = 0; i < Most(); ++i) {
      const double place = state()[1 + 2 * i], there = state()[2 + 2 * i];
      const bool used = i < Num();
      if (!(used ? cell(place) && (there == 0 || there == 1) : place == 0 && there == 0))
        return false;
    }
    return cell(state()[0]);
  }

  // A shortest way to the nearest good object around the bad ones.
  bool Script(std::span<float> action) const override {
    std::vector<int> first(walls_.size(), -1), queue = {Cell()};
    first[Cell()] = kStay;
    for (size_t next = 0; next < queue.size(); ++next) {
      for (int k = 0; k < kStay; ++k) {
        const int to = Next(queue[next], k);
        if (first[to] >= 0) continue;
        const double reward = RewardAt(to);
        if (reward < 0) continue;
        first[to] = next == 0 ? k : first[queue[next]];
        if (reward > 0) {
          WriteChoice(first[to], action);
          return true;
        }
        queue.push_back(to);
      }
    }
    WriteChoice(kStay, action);
    return true;
  }

 private:
  bool IsDrawn() const { return !level_.drawn.empty(); }
  int Cell() const { return static_cast<int>(state()[0]); }
  int Num() const { return static_cast<int>(level_.objects.size()); }
  int Most() const { return static_cast<int>(config_.level.objects.size()); }
  double& Place(int i) { return state()[1 + 2 * i]; }
  double& There(int i) { return state()[2 + 2 * i]; }

  int Next(int cell, int action) const {
    const int row = cell / level_.size + kRow[action],
              column = cell % level_.size + kColumn[action];
    if (row < 0 || row >= level_.size || column < 0 || column >= level_.size) return cell;
    const int to = row * level_.size + column;
    return walls_[to] ? cell : to;
  }

  double RewardAt(int cell) const {
    double reward = 0;
    for (int i = 0; i < Num(); ++i) {
      if (state()[2 + 2 * i] == 1 && state()[1 + 2 * i] == cell)
        reward += level_.types[level_.objects[i]].reward;
    }
    return reward;
  }

  // Draws 0 to 2 + 3 objects; walls and places come after them.
  void DrawLevel(const RandomStream& random) {
    const Drawn& drawn = level_.drawn[0];
    const auto between = [&](const std::array<int, 2>& range, uint32_t draw) {
      return range[0] + static_cast<int>(random.Below(range[1] - range[0] + 1, 1, draw));
    };
    level_.size = between(drawn.size, 0);
    const int objects = between(drawn.objects, 1);
    level_.objects.resize(objects);
    level_.steps = static_cast<int>(
        std::lround(LogUniform(drawn.steps[0], drawn.steps[1], random.Uniform(1, 2))));
    for (int i = 0; i < objects; ++i) {
      const auto u = [&](int which) {
        return random.Uniform(1, 3 + static_cast<uint32_t>(3 * i + which));
      };
      level_.types[i] = {.reward = i == 0 ? u(0) : 2 * u(0) - 1,
                         .ends = LogUniform(1e-2, 1, u(1)),
                         .returns = LogUniform(1e-3, 1e-1, u(2))};
    }
  }

  // By cell. A drawn wall may fall outside of a grid that is smaller than the greatest.
  std::vector<bool> WallsOf(const Level& level, const RandomStream& random) const {
    std::vector<bool> walls(level.size * level.size);
    const auto is_door = [](const std::array<int, 2>& doors, int at) {
      return at == doors[0] || at == doors[1];
    };
    for (int cell = 0; cell < level.size * level.size; ++cell) {
      const int row = cell / level.size, column = cell % level.size;
      walls[cell] = (column == level.walls.column && !is_door(level.walls.column_doors, row)) ||
                    (row == level.walls.row && !is_door(level.walls.row_doors, column));
    }
    for (const int cell : level.walls.cells) walls[cell] = true;
    if (level.drawn.empty()) return walls;
    std::vector<int> cells;
    for (int i = 0; i < config_.level.size * config_.level.size; ++i) cells.push_back(i);
    // At most so many that walker and objects have a cell each.
    int free = level.size * level.size - static_cast<int>(level.objects.size()) - 1;
    for (int i = 0; i < level.drawn[0].walls && free > 0; ++i) {
      std::swap(cells[i], cells[i + random.Below(cells.size() - i, 2, static_cast<uint32_t>(i))]);
      if (cells[i] >= level.size * level.size) continue;
      walls[cells[i]] = true;
      --free;
    }
    return walls;
  }

  // Puts `count` free cells to the front of cells_, each another one and none of taken_. False
  // where there are not so many.
  bool DrawPlaces(int count, const RandomStream& random, uint32_t step, uint32_t first_draw) {
    cells_.clear();
    for (int i = 0; i < level_.size * level_.size; ++i) {
      if (!walls_[i] && std::find(taken_.begin(), taken_.end(), i) == taken_.end())
        cells_.push_back(i);
    }
    if (cells_.size() < static_cast<size_t>(count)) return false;
    for (int i = 0; i < count; ++i) {
      std::swap(
          cells_[i],
          cells_[i + random.Below(cells_.size() - i, step, first_draw + static_cast<uint32_t>(i))]);
    }
    return true;
  }

  const Config config_;
  const View view_;
  // What the task's number says.
  Level level_;
  std::vector<bool> walls_;
  std::vector<int> places_;  // Cells of start and objects.
  // Scratch, so that a step allocates nothing.
  std::vector<int> taken_, cells_;
};

const RegisterEnvironment kRegister({
    .name = kName,
    .summary = kSummary,
    .options = kOptions.table(),
    .make = MadeBy<GridWorld>(kOptions),
    .draw_parameters =
        [](const OptionValues&, const RandomStream& random, uint32_t index) {
          return std::vector<double>{static_cast<double>(random.Block(index, 0)[0])};
        },
    .task_help = "parameters: the number of the grid, an integer from 0 to 2^32 - 1",
    .observation_help =
        "what the option view says, as zeros and ones; then 0.001 times the steps of the episode. "
        "Actions: the greatest of five numbers goes up, down, left, right or stays; into a wall "
        "stays",
    .reward_help = "the sum of the rewards of the objects in the new cell; success: one of them is "
                   "above 0",
    .random_help =
        "each step: whether the episode ends with what was collected, which objects come "
        "back and, where they move, to which cell; each episode of rand_... and "
        "empty_rooms: cells; with the task: the rest",
    .source = "Oh et al. 2020 (LPG), settings of Jackson et al. 2023 (groove); empty_rooms: Zheng "
              "et al. 2020",
    .in_catalogue_hash = false,
});

}  // namespace
}  // namespace mentor::envs::grid_world
