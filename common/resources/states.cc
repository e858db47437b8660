#include "common/resources/states.h"

#include <algorithm>
#include <array>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>

namespace mentor {
namespace {

using S = v1::Experiment;

// Maps "running" and "STATE_RUNNING" to "STATE_RUNNING".
std::string WithPrefix(std::string_view text, std::string_view prefix) {
  const std::string upper = absl::AsciiStrToUpper({text.data(), text.size()});
  return upper.starts_with(prefix) ? upper : std::string(prefix) + upper;
}

// Maps "STATE_RUNNING" to "RUNNING"; returns "STATE 99" if the number has no name.
std::string WithoutPrefix(const std::string& name, std::string_view prefix, int number) {
  if (!name.empty()) return name.substr(prefix.size());
  return absl::StrCat(std::string(prefix.substr(0, prefix.size() - 1)), " ", number);
}

constexpr std::string_view kState = "STATE_", kPriority = "PRIORITY_";

//   from        to            by
//   -           QUEUED        Create, Clone
//   QUEUED      RUNNING       scheduler
//   QUEUED      PAUSED        user, or its owner's storage quota
//   QUEUED      CANCELLED     user
//   QUEUED      FAILED        its deadline
//   RUNNING     PAUSING       user, or its owner's storage quota
//   RUNNING     PAUSED        no room on the disk
//   RUNNING     CANCELLING    user
//   RUNNING     QUEUED        a higher class takes its place, or it failed and is tried again
//   RUNNING     SUCCEEDED     all work done
//   RUNNING     FAILED        an error that time does not cure, or its deadline
//   PAUSING     PAUSED        scheduler
//   PAUSING     CANCELLING    user
//   PAUSING     SUCCEEDED     the work was done before the pause arrived
//   PAUSING     FAILED        it failed before the pause arrived
//   PAUSED      QUEUED        user, room on the disk, or room in its owner's storage quota
//   PAUSED      CANCELLED     user
//   PAUSED      FAILED        its deadline
//   CANCELLING  CANCELLED     scheduler
//   CANCELLING  SUCCEEDED     the work was done before the cancellation arrived
//   CANCELLING  FAILED        it failed before the cancellation arrived
constexpr std::array<std::pair<ExperimentState, ExperimentState>, 20> kTransitions = {{
    {S::STATE_QUEUED, S::STATE_RUNNING},       {S::STATE_QUEUED, S::STATE_PAUSED},
    {S::STATE_QUEUED, S::STATE_CANCELLED},     {S::STATE_QUEUED, S::STATE_FAILED},
    {S::STATE_RUNNING, S::STATE_PAUSING},      {S::STATE_RUNNING, S::STATE_CANCELLING},
    {S::STATE_RUNNING, S::STATE_QUEUED},       {S::STATE_RUNNING, S::STATE_SUCCEEDED},
    {S::STATE_RUNNING, S::STATE_FAILED},       {S::STATE_PAUSING, S::STATE_PAUSED},
    {S::STATE_PAUSING, S::STATE_CANCELLING},   {S::STATE_PAUSING, S::STATE_SUCCEEDED},
    {S::STATE_PAUSING, S::STATE_FAILED},       {S::STATE_PAUSED, S::STATE_QUEUED},
    {S::STATE_PAUSED, S::STATE_CANCELLED},     {S::STATE_PAUSED, S::STATE_FAILED},
    {S::STATE_CANCELLING, S::STATE_CANCELLED}, {S::STATE_CANCELLING, S::STATE_SUCCEEDED},
    {S::STATE_CANCELLING, S::STATE_FAILED},    {S::STATE_RUNNING, S::STATE_PAUSED},
}};

}  // namespace

const std::set<ExperimentState>& AllStates() {
  static const std::set<ExperimentState> states = [] {
    std::set<ExperimentState> all;
    const auto& type = *v1::Experiment_State_descriptor();
    for (int i = 0; i < type.value_count(); ++i) {
      const auto state = static_cast<ExperimentState>(type.value(i)->number());
      if (state != S::STATE_UNSPECIFIED) all.insert(state);
    }
    return all;
  }();
  return states;
}

bool IsFinal(ExperimentState state) {
  return state == S::STATE_CANCELLED || state == S::STATE_SUCCEEDED || state == S::STATE_FAILED;
}

bool IsAtWork(ExperimentState state) {
  return state == S::STATE_RUNNING || state == S::STATE_PAUSING || state == S::STATE_CANCELLING;
}

bool IsLegalTransition(ExperimentState from, ExperimentState to) {
  return std::find(kTransitions.begin(), kTransitions.end(), std::pair(from, to)) !=
         kTransitions.end();
}

std::string StateText(ExperimentState state) {
  return WithoutPrefix(v1::Experiment_State_Name(state), kState, state);
}

std::string PriorityText(v1::Priority priority) {
  if (priority == v1::PRIORITY_UNSPECIFIED) priority = v1::PRIORITY_NORMAL;
  return WithoutPrefix(v1::Priority_Name(priority), kPriority, priority);
}

std::optional<ExperimentState> ParseState(std::string_view text) {
  ExperimentState state;
  if (!v1::Experiment_State_Parse(WithPrefix(text, kState), &state) ||
      state == S::STATE_UNSPECIFIED)
    return std::nullopt;
  return state;
}

std::optional<v1::Priority> ParsePriority(std::string_view text) {
  v1::Priority priority;
  if (!v1::Priority_Parse(WithPrefix(text, kPriority), &priority) ||
      priority == v1::PRIORITY_UNSPECIFIED)
    return std::nullopt;
  return priority;
}

}  // namespace mentor
