// Random agents in the training environments of a benchmark.
#pragma once

#include <functional>

#include "cli/doctor/measurement.h"
#include "envs/benchmark.h"

namespace mentor::doctor {

// Acts as newborn agents do: Gaussian actions of this deviation around the middle of the bounds, or
// uniform choices. About `steps` steps in all training environments together, in whole episodes.
// Ends early where `goes_on`, which it asks after each step, is false.
RandomAgents MeasureRandomAgents(const envs::Benchmark& benchmark, double initial_std, int steps,
                                 const std::function<bool()>& goes_on);

}  // namespace mentor::doctor
