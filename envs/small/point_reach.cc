// point_reach: a point that is moved towards a goal. The environment of the calibrated learning
// test (docs/algorithms/small_environments.md#point-reach): small enough that a whole meta-training
// fits into minutes, with the three difficulties of the large tasks as views of the goal.
//
// A task's parameters are the goal. An episode depends on the goal and on the noise of its reset.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "envs/small/small_environment.h"

namespace mentor::envs::point_reach {
namespace {

constexpr char kName[] = "point_reach";
constexpr char kSummary[] = "Move a point to a goal; views of the goal from visible to hidden.";
constexpr int kDimensionMax = 2;
constexpr double kGoalDistance = 0.7;  // From the origin to the goal.
constexpr double kResetStd = 0.05;
constexpr double kRewardReach = 1.4;  // The shaped reward is 0 at this distance from the goal.

enum class View { kVisible, kRevealed, kHidden };

struct Config {
  int dimension;
  View view;
  double dt, rho;
  int episode_steps;
};

const auto kOptions = Bind<Config>(
    {{&Config::dimension, "dimension", "2", 1, kDimensionMax,
      "Dimension of position, goal and action."},
     {&Config::view,
      "view",
      {{"visible", View::kVisible}, {"revealed", View::kRevealed}, {"hidden", View::kHidden}},
      "What an observation shows of the goal: its direction, itself on the last step, nothing."},
     {&Config::dt, "dt", "0.12", 1e-6, 10, "Distance moved by an action of 1 in one step."},
     {&Config::rho, "rho", "0.2", 1e-6, 10, "Success is a distance to the goal below this."},
     {&Config::episode_steps, "episode_steps", "10", 1, 100000, "Steps of an episode."}});

class PointReach : public SmallEnvironment {
 public:
  explicit PointReach(const Config& config)
      : SmallEnvironment(
            {.info = {.name = kName,
                      .summary = kSummary,
                      .observation_size = config.dimension * (config.view == View::kHidden ? 1 : 2),
                      .action_size = config.dimension,
                      .episode_steps = config.episode_steps},
             .state = config.dimension,
             .parameters = config.dimension,
             .parameters_are = "the goal",
             .low = -1e6,
             .high = 1e6,
             .may_be_visible = config.view == View::kVisible}),
        d_(info().action_size),
        dt_(config.dt),
        rho_(config.rho),
        view_(config.view) {}

 protected:
  void Begin() override {
    random().Normals(episode(), state());
    for (double& x : state()) x *= kResetStd;
  }

  StepOutcome Advance(std::span<const float> action) override {
    double square = 0;
    for (int i = 0; i < d_; ++i) {
      double& x = state()[i];
      x += dt_ * std::clamp(static_cast<double>(action[i]), -1.0, 1.0);
      square += (x - parameters()[i]) * (x - parameters()[i]);
    }
    const double distance = std::sqrt(square);
    return {.reward = std::max(0.0, kRewardReach - distance) / kGoalDistance,
            .success = distance < rho_};
  }

  // Shows the position and the goal before step k = steps().
  void Observe(std::span<double> observation) override {
    for (int i = 0; i < d_; ++i) {
      observation[i] = state()[i];
      if (view_ == View::kVisible) observation[d_ + i] = parameters()[i] - state()[i];
      if (view_ == View::kRevealed)
        observation[d_ + i] = steps() == info().episode_steps - 1 ? parameters()[i] : 0;
    }
  }

  bool Script(std::span<float> action) const override {
    for (int i = 0; i < d_; ++i) action[i] = Towards(parameters()[i] - state()[i], dt_);
    return true;
  }

 private:
  const int d_;
  const double dt_, rho_;
  const View view_;
};

std::vector<double> DrawParameters(const OptionValues& options, const RandomStream& random,
                                   uint32_t index) {
  if (kOptions.Read(options).dimension == 1)
    return {random.Bits(index, 0) >> 63 ? kGoalDistance : -kGoalDistance};
  // Uniform on the circle: a normal vector, scaled. No sine, whose last bit depends on the machine.
  std::array<double, kDimensionMax> n;
  random.Normals(index, n);
  const double norm = std::sqrt(n[0] * n[0] + n[1] * n[1]);
  return {kGoalDistance * (n[0] / norm), kGoalDistance * (n[1] / norm)};
}

const RegisterEnvironment kRegister({
    .name = kName,
    .summary = kSummary,
    .options = kOptions.table(),
    .make = MadeBy<PointReach>(kOptions),
    .draw_parameters = DrawParameters,
    .task_help = "parameters: the goal, as many numbers as the option dimension says; drawn "
                 "uniformly at distance 0.7 "
                 "from the origin",
    .observation_help = "position; then goal - position (visible), the goal on the last step and "
                        "zeros before (revealed), nothing (hidden)",
    .reward_help = "max(0, 1.4 - distance to the goal) / 0.7; success when the distance is below "
                   "rho",
    .random_help = "each reset: the position, normal with deviation 0.05; with the task: the goal",
    .source = "the calibrated learning tests, docs/algorithms/small_environments.md",
});

}  // namespace
}  // namespace mentor::envs::point_reach
