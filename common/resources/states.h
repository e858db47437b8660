// States and priorities of experiments by name. The lists stand in experiment.proto alone. Pure
// functions; threads may share.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "mentor/v1/experiment.pb.h"

namespace mentor {

using ExperimentState = v1::Experiment::State;

// All but UNSPECIFIED.
const std::set<ExperimentState>& AllStates();
// True for CANCELLED, SUCCEEDED and FAILED.
bool IsFinal(ExperimentState state);
// True for RUNNING, PAUSING and CANCELLING: somebody may work on it, and results are kept.
bool IsAtWork(ExperimentState state);

// "RUNNING" from STATE_RUNNING; "STATE 99" for one of a newer program.
std::string StateText(ExperimentState state);
// "HIGH" from PRIORITY_HIGH; UNSPECIFIED means NORMAL.
std::string PriorityText(v1::Priority priority);
// "running", "RUNNING" or "STATE_RUNNING".
std::optional<ExperimentState> ParseState(std::string_view text);
// "low", "LOW" or "PRIORITY_LOW".
std::optional<v1::Priority> ParsePriority(std::string_view text);

}  // namespace mentor
