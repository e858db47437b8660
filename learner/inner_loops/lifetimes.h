// Some lifetimes of many. Pure functions; the tensors are views.
#pragma once

#include "learner/segment.h"
#include "learner/signals/signal_network.h"

namespace mentor::learner {

// Lifetimes first .. first + count of a segment: what actors and agents' critics made of them.
Segment SomeLifetimes(const Segment& segment, int64_t first, int64_t count);
SignalState SomeLifetimes(const SignalState& state, int64_t first, int64_t count);

}  // namespace mentor::learner
