// The state machine of an experiment; names of states are in common/resources/states.h. Pure;
// thread-safe.
#pragma once

#include "common/resources/states.h"

namespace mentor::meta_learner {

using State = ExperimentState;

// True if the state machine allows this transition; the table is in state.cc.
bool IsLegalTransition(State from, State to);

}  // namespace mentor::meta_learner
