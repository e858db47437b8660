// point_reach: a point that is moved towards a goal. The environment of the calibrated learning
// test (docs/algorithms/small_environments.md#point-reach): small enough that a whole meta-training
// fits into minutes, with the three difficulties of the large tasks as views of the goal.
//
// A task's parameters are the goal. An episode depends on the goal and on the noise of its reset.
#include <algorithm>
#include <array>
#include <cmath>

#include "envs/small/small_environment.h"

namespace mentor::envs {
namespace {

constexpr char kName[] = "point_reach";
constexpr char kSummary[] = "Move a point to a goal; views of the goal from visible to hidden.";
constexpr int kDimensionMax = 2;
constexpr double kGoalDistance = 0.7;  // From the origin to the goal.
constexpr double kResetStd = 0.05;
constexpr double kRewardReach = 1.4;  // The shaped reward is 0 at this distance from the goal.

class PointReach : public SmallEnvironment {
 public:
  explicit PointReach(const OptionValues& options)
      : SmallEnvironment(
            {.info = {.name = kName,
                      .summary = kSummary,
                      .observation_size = static_cast<int>(options.Integer("dimension")) *
                                          (options.Choice("view") == "hidden" ? 1 : 2),
                      .action_size = static_cast<int>(options.Integer("dimension")),
                      .episode_steps = static_cast<int>(options.Integer("episode_steps"))},
             .state = static_cast<int>(options.Integer("dimension")),
             .parameters = static_cast<int>(options.Integer("dimension")),
             .parameters_are = "the goal",
             .low = -1e6,
             .high = 1e6,
             .may_be_visible = options.Choice("view") == "visible"}),
        d_(info().action_size),
        dt_(options.Number("dt")),
        rho_(options.Number("rho")),
        view_(options.Choice("view") == "visible"    ? View::kVisible
              : options.Choice("view") == "revealed" ? View::kRevealed
                                                     : View::kHidden) {}

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
  enum class View { kVisible, kRevealed, kHidden };

  const int d_;
  const double dt_, rho_;
  const View view_;
};

v1::EnvironmentTask DrawTask(const OptionValues& options, const RandomStream& random,
                             uint32_t index) {
  v1::EnvironmentTask task;
  task.set_environment(kName);
  if (options.Integer("dimension") == 1) {
    task.add_parameters(random.Bits(index, 0) >> 63 ? kGoalDistance : -kGoalDistance);
    return task;
  }
  // Uniform on the circle: a normal vector, scaled. No sine, whose last bit depends on the machine.
  std::array<double, kDimensionMax> n;
  random.Normals(index, n);
  const double norm = std::sqrt(n[0] * n[0] + n[1] * n[1]);
  for (double component : n) task.add_parameters(kGoalDistance * (component / norm));
  return task;
}

const RegisterEnvironment kRegister({
    .name = kName,
    .summary = kSummary,
    .options = {{.name = "dimension",
                 .kind = OptionInfo::Kind::kInteger,
                 .default_value = "2",
                 .min = 1,
                 .max = kDimensionMax,
                 .help = "Dimension of position, goal and action."},
                {.name = "view",
                 .kind = OptionInfo::Kind::kChoice,
                 .default_value = "visible",
                 .choices = {"visible", "revealed", "hidden"},
                 .help = "What an observation shows of the goal: its direction, itself on the last "
                         "step, nothing."},
                {.name = "dt",
                 .default_value = "0.12",
                 .min = 1e-6,
                 .max = 10,
                 .help = "Distance moved by an action of 1 in one step."},
                {.name = "rho",
                 .default_value = "0.2",
                 .min = 1e-6,
                 .max = 10,
                 .help = "Success is a distance to the goal below this."},
                {.name = "episode_steps",
                 .kind = OptionInfo::Kind::kInteger,
                 .default_value = "10",
                 .min = 1,
                 .max = 100000,
                 .help = "Steps of an episode."}},
    .make = [](const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      return std::make_unique<PointReach>(options);
    },
    .draw_task = DrawTask,
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
}  // namespace mentor::envs
