// The state machine of an experiment. Pure functions; threads may share.
#pragma once

#include <set>
#include <string_view>

#include "mentor/v1/experiment.pb.h"

namespace mentor::meta_learner {

using State = v1::Experiment::State;

// True for CANCELLED, SUCCEEDED and FAILED.
bool IsFinal(State state);
// True for RUNNING, PAUSING and CANCELLING: somebody may work on it, and results are kept.
bool IsAtWork(State state);
// The arrows of the state machine; the table stands in the .cc.
bool IsLegalTransition(State from, State to);
const std::set<State>& AllStates();
std::string_view StateText(State state);  // "RUNNING"

}  // namespace mentor::meta_learner
