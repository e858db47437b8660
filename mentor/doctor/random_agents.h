// Random agents in the training environments of a benchmark.
#pragma once

#include "envs/benchmark.h"
#include "mentor/doctor/measurement.h"

namespace mentor::doctor {

// Acts as newborn agents do: Gaussian actions of this deviation around the middle of the bounds, or
// uniform choices. About `steps` steps in all training environments together, in whole episodes.
RandomAgents MeasureRandomAgents(const envs::Benchmark& benchmark, double initial_std, int steps);

}  // namespace mentor::doctor
