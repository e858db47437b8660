// Some lifetimes of many. Pure functions; the tensors are views.
#pragma once

#include "learner/segment.h"
#include "learner/signals/signal_network.h"

namespace mentor::learner {

// What actors and agents' critics made of each lifetime: all that a signal network may see.
inline constexpr torch::Tensor Segment::*kSeen[] = {
    &Segment::observations,      &Segment::actions,    &Segment::log_probs,
    &Segment::prev_done,         &Segment::successes,  &Segment::success_signals,
    &Segment::shaped_rewards,    &Segment::values,     &Segment::last_done,
    &Segment::next_observations, &Segment::last_values};

// Lifetimes first .. first + count of a segment: what is seen of them.
Segment SomeLifetimes(const Segment& segment, int64_t first, int64_t count);
SignalState SomeLifetimes(const SignalState& state, int64_t first, int64_t count);

}  // namespace mentor::learner
