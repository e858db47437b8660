// Names of the states and priorities of experiments, and the state machine of an experiment.
// experiment.proto is the only list of them. Pure functions; threads may share.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "mentor/v1/experiment.pb.h"

namespace mentor {

using ExperimentState = v1::Experiment::State;

// All states except UNSPECIFIED.
const std::set<ExperimentState>& AllStates();
// True for CANCELLED, SUCCEEDED and FAILED.
bool IsFinal(ExperimentState state);
// True for RUNNING, PAUSING and CANCELLING: learners may work on it, and results are kept.
bool IsAtWork(ExperimentState state);
// True if the state machine allows this transition; the table is in states.cc.
bool IsLegalTransition(ExperimentState from, ExperimentState to);

// "RUNNING" for STATE_RUNNING; "STATE 99" for a state of a newer program.
std::string StateText(ExperimentState state);
// "HIGH" for PRIORITY_HIGH; UNSPECIFIED means NORMAL.
std::string PriorityText(v1::Priority priority);
// Accepts "running", "RUNNING" or "STATE_RUNNING".
std::optional<ExperimentState> ParseState(std::string_view text);
// Accepts "low", "LOW" or "PRIORITY_LOW".
std::optional<v1::Priority> ParsePriority(std::string_view text);

}  // namespace mentor
