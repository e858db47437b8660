// point_reach: a point that is moved towards a goal. The environment of the calibrated learning
// test (results.md section 7): small enough that a whole meta-training fits into minutes, with the
// three difficulties of the large tasks as views of the goal.
//
// A task's parameters are the goal. An episode depends on the goal and on the noise of its reset.
#include <algorithm>
#include <array>
#include <cmath>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "envs/environment.h"
#include "envs/state_codec.h"

namespace mentor::envs {
namespace {

constexpr char kName[] = "point_reach";
constexpr char kSummary[] =
    "Move a point to a goal; views of the goal from visible to hidden (results.md section 7).";
constexpr int kDimensionMax = 2;
constexpr double kGoalDistance = 0.7;  // Of the goal from the origin.
constexpr double kResetStd = 0.05;
constexpr double kRewardReach = 1.4;  // The shaped reward is 0 at this distance from the goal.

using Point = std::array<double, kDimensionMax>;

class PointReach : public Environment {
 public:
  explicit PointReach(const OptionValues& options)
      : d_(static_cast<int>(options.Integer("dimension"))),
        dt_(options.Number("dt")),
        rho_(options.Number("rho")),
        view_(options.Choice("view") == "visible"    ? View::kVisible
              : options.Choice("view") == "revealed" ? View::kRevealed
                                                     : View::kHidden),
        info_{.name = kName,
              .summary = kSummary,
              .observation_size = view_ == View::kHidden ? d_ : 2 * d_,
              .action_size = d_,
              .episode_steps = static_cast<int>(options.Integer("episode_steps")),
              .independent_episodes = true} {}

  const EnvironmentInfo& info() const override { return info_; }

  absl::Status SetTask(const v1::EnvironmentTask& task) override {
    MENTOR_RETURN_IF_ERROR(CheckTaskName(task, info_));
    if (task.goal_visible() && view_ != View::kVisible) {
      return absl::InvalidArgumentError(
          "task.goal_visible of point_reach is true, but its option 'view' decides; set view to "
          "visible");
    }
    if (task.parameters_size() != d_) {
      return absl::InvalidArgumentError(absl::StrCat("task.parameters of point_reach has ",
                                                     task.parameters_size(),
                                                     " numbers; give the goal, ", d_, " numbers"));
    }
    Point goal{};
    for (int i = 0; i < d_; ++i) {
      goal[i] = task.parameters(i);
      if (!(std::abs(goal[i]) <= 1e6)) {
        return absl::InvalidArgumentError(absl::StrCat(
            "task.parameters[", i, "] of point_reach is ", goal[i], "; goals lie within 1e6 of 0"));
      }
    }
    goal_ = goal;
    has_goal_ = true;
    steps_ = -1;
    return absl::OkStatus();
  }

  absl::Status Reset(const RandomStream& random, uint32_t episode,
                     std::span<double> observation) override {
    MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
    if (!has_goal_) return absl::FailedPreconditionError("point_reach: Reset before SetTask");
    x_ = {};
    random.Normals(episode, std::span(x_).first(d_));
    for (double& x : x_) x *= kResetStd;
    steps_ = 0;
    Observe(observation);
    return absl::OkStatus();
  }

  absl::StatusOr<StepOutcome> Step(std::span<const float> action,
                                   std::span<double> observation) override {
    MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
    MENTOR_RETURN_IF_ERROR(CheckStep(info_, steps_, action));
    double square = 0;
    for (int i = 0; i < d_; ++i) {
      x_[i] += dt_ * std::clamp(static_cast<double>(action[i]), -1.0, 1.0);
      square += (x_[i] - goal_[i]) * (x_[i] - goal_[i]);
    }
    const double distance = std::sqrt(square);
    ++steps_;
    Observe(observation);
    return StepOutcome{.reward = std::max(0.0, kRewardReach - distance) / kGoalDistance,
                       .success = distance < rho_,
                       .terminated = false,
                       .truncated = steps_ == info_.episode_steps};
  }

  // numbers := goal[2] x[2] steps
  std::string SaveState() const override {
    MENTOR_CHECK(steps_ >= 0);
    return EncodeState(kName,
                       std::array{goal_[0], goal_[1], x_[0], x_[1], static_cast<double>(steps_)});
  }

  absl::Status RestoreState(std::string_view state, std::span<double> observation) override {
    MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
    if (!has_goal_)
      return absl::FailedPreconditionError("point_reach: RestoreState before SetTask");
    std::vector<double> numbers;
    MENTOR_RETURN_IF_ERROR(DecodeState(kName, state, 5, 5, &numbers));
    if (numbers[0] != goal_[0] || numbers[1] != goal_[1]) {
      return absl::InvalidArgumentError("state of point_reach: belongs to another goal");
    }
    if (!(numbers[4] >= 0 && numbers[4] <= info_.episode_steps &&
          numbers[4] == std::floor(numbers[4]))) {
      return absl::InvalidArgumentError(absl::StrCat(
          "state of point_reach: has ", numbers[4], " steps, expected 0 to ", info_.episode_steps));
    }
    x_ = {numbers[2], numbers[3]};
    steps_ = static_cast<int>(numbers[4]);
    Observe(observation);
    return absl::OkStatus();
  }

 private:
  enum class View { kVisible, kRevealed, kHidden };

  // What is shown before step k = steps_.
  void Observe(std::span<double> observation) const {
    for (int i = 0; i < d_; ++i) {
      observation[i] = x_[i];
      if (view_ == View::kVisible) observation[d_ + i] = goal_[i] - x_[i];
      if (view_ == View::kRevealed)
        observation[d_ + i] = steps_ == info_.episode_steps - 1 ? goal_[i] : 0;
    }
  }

  // Fixed after construction.
  const int d_;
  const double dt_, rho_;
  const View view_;
  const EnvironmentInfo info_;
  // The task.
  Point goal_{};
  bool has_goal_ = false;
  // The episode.
  Point x_{};
  int steps_ = -1;  // Negative: not reset.
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
  Point n;
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
});

}  // namespace
}  // namespace mentor::envs
