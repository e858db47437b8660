// A loss that gets each step of a recorded piece of lifetimes.
#pragma once

#include <cstdint>

#include <absl/functional/function_ref.h>

#include "kernels/outer_step.h"

namespace mentor::signals {

// Returns the loss's derivatives by the network's outputs at a step. Called once for each step of N
// lifetimes, in the order of time; steps of equal time come by lifetime.
using LossOfStep = absl::FunctionRef<kernels::StepTerms(int64_t lifetime, int64_t step,
                                                        const kernels::StepTerms& now)>;

}  // namespace mentor::signals
