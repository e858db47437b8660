#include "envs/small/small_environment.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>

#include "common/check.h"

namespace mentor::envs {
namespace {

// A saved state begins with: seed in two halves, purpose, phase, lifetime, iteration, episode,
// steps, ended.
constexpr size_t kFixed = 9;

}  // namespace

SmallEnvironment::SmallEnvironment(SmallFacts facts)
    : facts_(std::move(facts)),
      parameters_(facts_.parameters),
      state_(facts_.state),
      terms_(facts_.info_keys.size()) {}

absl::Status SmallEnvironment::SetTask(const v1::EnvironmentTask& task) {
  const std::string& name = facts_.info.name;
  MENTOR_RETURN_IF_ERROR(CheckTaskName(task, facts_.info));
  if (task.goal_visible() && !facts_.may_be_visible) {
    return absl::InvalidArgumentError(
        absl::StrCat("task.goal_visible of ", name,
                     " is true, but options alone decide what it shows; leave it out"));
  }
  if (task.parameters_size() != facts_.parameters) {
    return absl::InvalidArgumentError(absl::StrCat(
        "task.parameters of ", name, " has ", task.parameters_size(), " numbers; ",
        facts_.parameters == 0
            ? std::string("it takes none, its options set the task")
            : absl::StrCat("give ", facts_.parameters_are, ", ", facts_.parameters, " numbers")));
  }
  for (int i = 0; i < facts_.parameters; ++i) {
    const double parameter = task.parameters(i);
    if (!(parameter >= facts_.low && parameter <= facts_.high)) {
      return absl::InvalidArgumentError(
          absl::StrCat("task.parameters[", i, "] of ", name, " is ", parameter, "; ",
                       facts_.parameters_are, " lies between ", facts_.low, " and ", facts_.high));
    }
  }
  const std::vector<double> parameters(task.parameters().begin(), task.parameters().end());
  MENTOR_RETURN_IF_ERROR(Prepare(parameters));
  parameters_ = parameters;
  has_task_ = true;
  steps_ = -1;
  return absl::OkStatus();
}

absl::Status SmallEnvironment::Reset(const RandomStream& random, uint32_t episode,
                                     std::span<double> observation) {
  MENTOR_RETURN_IF_ERROR(CheckObservation(facts_.info, observation));
  if (!has_task_) {
    return absl::FailedPreconditionError(absl::StrCat(facts_.info.name, ": Reset before SetTask"));
  }
  random_ = random;
  episode_ = episode;
  steps_ = 0;
  ended_ = false;
  std::fill(state_.begin(), state_.end(), 0.0);
  std::fill(terms_.begin(), terms_.end(), 0.0);
  Begin();
  Observe(observation);
  return absl::OkStatus();
}

absl::StatusOr<StepOutcome> SmallEnvironment::Step(std::span<const float> action,
                                                   std::span<double> observation) {
  MENTOR_RETURN_IF_ERROR(CheckObservation(facts_.info, observation));
  MENTOR_RETURN_IF_ERROR(CheckStep(facts_.info, steps_, action, ended_));
  ++steps_;
  StepOutcome outcome = Advance(action);
  ended_ = outcome.terminated;
  outcome.truncated = !ended_ && steps_ == facts_.info.episode_steps;
  Observe(observation);
  return outcome;
}

void SmallEnvironment::Observe(std::span<double> observation) {
  std::copy(state_.begin(), state_.end(), observation.begin());
}

// numbers := parameter* seed_low seed_high purpose phase lifetime iteration episode steps ended
// state*
absl::StatusOr<std::string> SmallEnvironment::SaveState() const {
  MENTOR_CHECK(steps_ >= 0);
  std::vector<double> numbers = parameters_;
  numbers.insert(
      numbers.end(),
      {static_cast<double>(random_.seed & 0xffffffff), static_cast<double>(random_.seed >> 32),
       static_cast<double>(random_.purpose), static_cast<double>(random_.phase),
       static_cast<double>(random_.lifetime), static_cast<double>(random_.iteration),
       static_cast<double>(episode_), static_cast<double>(steps_), ended_ ? 1.0 : 0.0});
  numbers.insert(numbers.end(), state_.begin(), state_.end());
  return EncodeState(facts_.info.name, numbers);
}

absl::Status SmallEnvironment::RestoreState(std::string_view state, std::span<double> observation) {
  const std::string& name = facts_.info.name;
  MENTOR_RETURN_IF_ERROR(CheckObservation(facts_.info, observation));
  if (!has_task_)
    return absl::FailedPreconditionError(absl::StrCat(name, ": RestoreState before SetTask"));
  const size_t count = parameters_.size() + kFixed + state_.size();
  std::vector<double> numbers;
  MENTOR_RETURN_IF_ERROR(DecodeState(name, state, count, count, &numbers));
  if (!std::equal(parameters_.begin(), parameters_.end(), numbers.begin()))
    return absl::InvalidArgumentError(absl::StrCat("state of ", name, ": belongs to another task"));
  const double* n = numbers.data() + parameters_.size();
  constexpr double kWord = 4294967295.0;
  const double greatest[kFixed] = {
      kWord, kWord, 255, 15, kWord, 1048575, kWord, static_cast<double>(facts_.info.episode_steps),
      1};
  for (size_t i = 0; i < kFixed; ++i) {
    if (!(n[i] >= 0 && n[i] <= greatest[i] && n[i] == std::floor(n[i]))) {
      return absl::InvalidArgumentError(
          absl::StrCat("state of ", name, ": number ", parameters_.size() + i, " is ", n[i],
                       ", expected an integer from 0 to ", greatest[i]));
    }
  }
  std::vector<double> previous(n + kFixed, n + kFixed + state_.size());
  const int previous_steps = std::exchange(steps_, static_cast<int>(n[7]));
  state_.swap(previous);
  if (!IsLegal()) {
    state_.swap(previous);
    steps_ = previous_steps;
    return absl::InvalidArgumentError(absl::StrCat("state of ", name, ": cannot be reached"));
  }
  random_ = {.seed = static_cast<uint64_t>(n[1]) << 32 | static_cast<uint64_t>(n[0]),
             .purpose = static_cast<Purpose>(static_cast<uint32_t>(n[2])),
             .phase = static_cast<Phase>(static_cast<uint32_t>(n[3])),
             .lifetime = static_cast<uint32_t>(n[4]),
             .iteration = static_cast<uint32_t>(n[5])};
  episode_ = static_cast<uint32_t>(n[6]);
  ended_ = n[8] == 1;
  std::fill(terms_.begin(), terms_.end(), 0.0);
  Observe(observation);
  return absl::OkStatus();
}

bool SmallEnvironment::ScriptedAction(std::span<float> action) const {
  if (steps_ < 0 || action.size() != static_cast<size_t>(facts_.info.action_size)) return false;
  return Script(action);
}

int Chosen(std::span<const float> action) {
  return static_cast<int>(std::max_element(action.begin(), action.end()) - action.begin());
}

void WriteChoice(int choice, std::span<float> action) {
  std::fill(action.begin(), action.end(), 0.0f);
  action[choice] = 1;
}

float Towards(double difference, double unit) {
  return static_cast<float>(std::clamp(difference / unit, -1.0, 1.0));
}

}  // namespace mentor::envs
