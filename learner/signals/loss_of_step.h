// A loss that is told of each step of a recorded piece of lifetimes.
#pragma once

#include <cstdint>

#include <absl/functional/function_ref.h>

#include "learner/kernels/outer_step.h"

namespace mentor::learner {

// Returns the loss's derivatives by what the network says of a step. Called once for each step of N
// lifetimes, in the order of time, those of a step by lifetime.
using LossOfStep =
    absl::FunctionRef<StepTerms(int64_t lifetime, int64_t step, const StepTerms& now)>;

}  // namespace mentor::learner
