// The state machine of an experiment; names of states are in common/resources/states.h. Pure;
// threads may share.
#pragma once

#include "common/resources/states.h"

namespace mentor::meta_learner {

using State = ExperimentState;

// The arrows of the state machine; the table stands in the .cc.
bool IsLegalTransition(State from, State to);

}  // namespace mentor::meta_learner
