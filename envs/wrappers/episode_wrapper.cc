#include "envs/wrappers/episode_wrapper.h"

#include <algorithm>

#include <absl/strings/str_cat.h>

#include "common/check.h"

namespace mentor::envs {

EpisodeWrapper::EpisodeWrapper(std::unique_ptr<Environment> inner, std::string name, int extra,
                               int state)
    : Wrapper(std::move(inner)), name_(std::move(name)), extra_(extra), state_(state) {
  info_.observation_size += extra;
}

std::span<double> EpisodeWrapper::Inner(std::span<double> observation) const {
  return observation.first(observation.size() - extra_);
}

void EpisodeWrapper::AppendTo(std::span<double> observation) const {
  Append(observation.last(extra_));
}

absl::Status EpisodeWrapper::Reset(const RandomStream& random, uint32_t episode,
                                   std::span<double> observation) {
  MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
  MENTOR_RETURN_IF_ERROR(inner().Reset(random, episode, Inner(observation)));
  std::fill(state_.begin(), state_.end(), 0.0);
  AppendTo(observation);
  return absl::OkStatus();
}

absl::StatusOr<StepOutcome> EpisodeWrapper::Step(std::span<const float> action,
                                                 std::span<double> observation) {
  MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
  MENTOR_ASSIGN_OR_RETURN(StepOutcome outcome, inner().Step(action, Inner(observation)));
  After(action, &outcome);
  AppendTo(observation);
  return outcome;
}

absl::StatusOr<std::string> EpisodeWrapper::SaveState() const {
  MENTOR_ASSIGN_OR_RETURN(const std::string inner_state, inner().SaveState());
  return EncodeState(name_, state_) + inner_state;
}

absl::Status EpisodeWrapper::RestoreState(std::string_view state, std::span<double> observation) {
  MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
  std::vector<double> numbers;
  std::string_view rest;
  MENTOR_RETURN_IF_ERROR(DecodeState(name_, state, state_.size(), state_.size(), &numbers, &rest));
  if (!IsLegal(numbers))
    return absl::InvalidArgumentError(absl::StrCat("state of ", name_, ": cannot be reached"));
  MENTOR_RETURN_IF_ERROR(inner().RestoreState(rest, Inner(observation)));
  state_ = numbers;
  AppendTo(observation);
  return absl::OkStatus();
}

}  // namespace mentor::envs
