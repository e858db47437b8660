// point_mass: the small problem on which the response-gradient rules were measured
// (docs/algorithms/small_environments.md#point-mass), and a stand-in for EPG's hopper with random
// goals.
//
// The goal is (0.5, -0.3) as in the measurements, or, with goal drawn, a task's parameters.
// The horizon belongs to the problem, so the last step terminates: nothing is bootstrapped there.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "envs/small/small_environment.h"

namespace mentor::envs::point_mass {
namespace {

constexpr char kName[] = "point_mass";
constexpr char kSummary[] = "Move a point in a box to a goal, reward -distance.";
constexpr double kStep = 0.1;  // Motion by an action of 1.
constexpr double kWall = 1.5;  // Positions are clamped here.
constexpr double kStart = 1;   // Starts, and drawn goals, are uniform in [-1, 1]^2.
constexpr double kNear = 0.1;  // Success, which the page leaves open: within one step.
constexpr double kGoal[2] = {0.5, -0.3};

struct Config {
  bool drawn;  // The goal.
  int episode_steps;
};

const auto kOptions = Bind<Config>(
    {{&Config::drawn,
      "goal",
      {{"fixed", false}, {"drawn", true}},
      "(0.5, -0.3) for all tasks, or each task's own."},
     {&Config::episode_steps, "episode_steps", "20", 1, 100000, "Steps of an episode."}});

class PointMass : public SmallEnvironment {
 public:
  explicit PointMass(const Config& config)
      : SmallEnvironment({.info = {.name = kName,
                                   .summary = kSummary,
                                   .observation_size = 2,
                                   .action_size = 2,
                                   .episode_steps = config.episode_steps},
                          .state = 2,
                          .parameters = config.drawn ? 2 : 0,
                          .parameters_are = "the goal",
                          .low = -kWall,
                          .high = kWall}) {}

 protected:
  void Begin() override {
    for (uint32_t i = 0; i < 2; ++i) state()[i] = kStart * (2 * Uniform(i) - 1);
  }

  StepOutcome Advance(std::span<const float> action) override {
    double square = 0;
    for (int i = 0; i < 2; ++i) {
      double& x = state()[i];
      x = std::clamp(x + kStep * std::clamp(static_cast<double>(action[i]), -1.0, 1.0), -kWall,
                     kWall);
      square += (x - Goal(i)) * (x - Goal(i));
    }
    const double distance = std::sqrt(square);
    return {.reward = -distance,
            .success = distance < kNear,
            .terminated = steps() == info().episode_steps};
  }

  bool Script(std::span<float> action) const override {
    for (int i = 0; i < 2; ++i) action[i] = Towards(Goal(i) - state()[i], kStep);
    return true;
  }

 private:
  double Goal(int i) const { return parameters().empty() ? kGoal[i] : parameters()[i]; }
};

std::vector<double> DrawParameters(const OptionValues& options, const RandomStream& random,
                                   uint32_t index) {
  std::vector<double> goal;
  if (!kOptions.Read(options).drawn) return goal;
  for (uint32_t i = 0; i < 2; ++i) goal.push_back(kStart * (2 * random.Uniform(index, i) - 1));
  return goal;
}

const RegisterEnvironment kRegister({
    .name = kName,
    .summary = kSummary,
    .options = kOptions.table(),
    .make = MadeBy<PointMass>(kOptions),
    .draw_parameters = DrawParameters,
    .task_help = "parameters: none (goal fixed); the goal, two numbers from -1.5 to 1.5, drawn "
                 "uniformly in [-1, 1]^2 (goal drawn)",
    .observation_help = "position (2 numbers)",
    .reward_help = "-distance to the goal after the step; success within 0.1. The last step "
                   "terminates",
    .random_help = "each episode: the start, uniform in [-1, 1]^2",
    .source =
        "the measurements of rule response_gradient; drawn goals: Houthooft et al. 2018 (EPG)",
});

}  // namespace
}  // namespace mentor::envs::point_mass
