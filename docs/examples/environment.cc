// cart: drive a cart on a line to a place and stay there. The example of docs/adding.md.
//
// A task's parameter is the place. An episode depends on the place and on the noise of its reset.
#include "envs/environment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <vector>

#include "common/check.h"

namespace mentor::envs::example_environment {
namespace {

constexpr char kName[] = "cart";
constexpr char kSummary[] = "Drive a cart on a line to a place and stay there.";
constexpr double kStepSeconds = 0.1;
constexpr double kResetStd = 0.05;  // Deviation of the first position, in metres.

struct Config {
  double force;
  int episode_steps;
};

const auto kOptions = Bind<Config>(
    {{&Config::force, "force", "4", 0.1, 100, "Acceleration by an action of 1, in m/s2."},
     {&Config::episode_steps, "episode_steps", "20", 1, 10000, "Steps of an episode."}});

class Cart : public Environment {
 public:
  explicit Cart(const Config& config)
      : force_(config.force),
        info_{.name = kName,
              .summary = kSummary,
              .observation_size = 3,
              .action_size = 1,
              .episode_steps = config.episode_steps,
              .independent_episodes = true} {}

  const EnvironmentInfo& info() const override { return info_; }

  absl::Status SetTask(const v1::EnvironmentTask& task) override {
    MENTOR_RETURN_IF_ERROR(CheckTaskName(task, info_));
    if (task.parameters_size() != 1 || !(std::abs(task.parameters(0)) <= 10)) {
      return absl::InvalidArgumentError(
          "task.parameters of cart: give one number, the place, within 10 of 0");
    }
    place_ = task.parameters(0);
    has_task_ = true;
    steps_ = -1;
    return absl::OkStatus();
  }

  absl::Status Reset(const RandomStream& random, uint32_t episode,
                     std::span<double> observation) override {
    MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
    if (!has_task_) return absl::FailedPreconditionError("cart: Reset before SetTask");
    random.Normals(episode, std::span(&position_, 1));
    position_ *= kResetStd;
    velocity_ = 0;
    steps_ = 0;
    Observe(observation);
    return absl::OkStatus();
  }

  absl::StatusOr<StepOutcome> Step(std::span<const float> action,
                                   std::span<double> observation) override {
    MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
    MENTOR_RETURN_IF_ERROR(CheckStep(info_, steps_, action));
    velocity_ += kStepSeconds * force_ * std::clamp(static_cast<double>(action[0]), -1.0, 1.0);
    position_ += kStepSeconds * velocity_;
    ++steps_;
    Observe(observation);
    const double distance = std::abs(place_ - position_);
    return StepOutcome{.reward = 1 / (1 + distance),
                       .success = distance < 0.1 && std::abs(velocity_) < 0.5,
                       .terminated = false,
                       .truncated = steps_ == info_.episode_steps};
  }

  // numbers := place position velocity steps
  absl::StatusOr<std::string> SaveState() const override {
    MENTOR_CHECK(steps_ >= 0);
    return EncodeState(kName,
                       std::array{place_, position_, velocity_, static_cast<double>(steps_)});
  }

  absl::Status RestoreState(std::string_view state, std::span<double> observation) override {
    MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
    if (!has_task_) return absl::FailedPreconditionError("cart: RestoreState before SetTask");
    std::vector<double> numbers;
    MENTOR_RETURN_IF_ERROR(DecodeState(kName, state, 4, 4, &numbers));
    if (numbers[0] != place_)
      return absl::InvalidArgumentError("state of cart: belongs to another place");
    if (!(numbers[3] >= 0 && numbers[3] <= info_.episode_steps &&
          numbers[3] == std::floor(numbers[3]))) {
      return absl::InvalidArgumentError("state of cart: its number of steps is beyond the episode");
    }
    position_ = numbers[1];
    velocity_ = numbers[2];
    steps_ = static_cast<int>(numbers[3]);
    Observe(observation);
    return absl::OkStatus();
  }

 private:
  void Observe(std::span<double> observation) const {
    observation[0] = position_;
    observation[1] = velocity_;
    observation[2] = place_ - position_;
  }

  // Fixed after construction.
  const double force_;
  const EnvironmentInfo info_;
  // The task.
  double place_ = 0;
  bool has_task_ = false;
  // The episode.
  double position_ = 0, velocity_ = 0;
  int steps_ = -1;  // Negative: not reset.
};

const RegisterEnvironment kRegister({
    .name = kName,
    .summary = kSummary,
    .options = kOptions.table(),
    .make = [](const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      return std::make_unique<Cart>(kOptions.Read(options));
    },
    .draw_parameters =
        [](const OptionValues&, const RandomStream& random, uint32_t index) {
          return std::vector<double>{2 * random.Uniform(index, 0) - 1};
        },
    .task_help = "parameters: the place, one number, drawn uniformly between -1 and 1",
});

}  // namespace
}  // namespace mentor::envs::example_environment
