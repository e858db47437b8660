#include "common/resources/states.h"

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
