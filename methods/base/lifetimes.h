// The signal state of some of many lifetimes (their segments: agents/segment.h). Pure; the tensors
// are views.
#pragma once

#include "signals/signal_network.h"

namespace mentor::learner {

// The state of lifetimes first .. first + count.
SignalState SomeLifetimes(const SignalState& state, int64_t first, int64_t count);

}  // namespace mentor::learner
