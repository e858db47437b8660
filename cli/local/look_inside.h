// Shows what a signal network attends to. Simulates one lifetime of an evaluation again in this
// thread; the network explains its first and its last inner iteration.
#pragma once

#include <absl/status/statusor.h>

#include "cli/local/trained_run.h"
#include "envs/benchmark.h"
#include "mentor/v1/evaluation.pb.h"

namespace mentor {

// Returns maps of the first episodes of the first lifetime that `spec` evaluates on the benchmark.
// Empty when the network has nothing to show, or needs inputs that only the learner knows. The spec
// is that of the run or of another evaluation.
absl::StatusOr<v1::SignalMaps> LookInside(const TrainedRun& run, const v1::ExperimentSpec& spec,
                                          const envs::Benchmark& benchmark, envs::Split split);

}  // namespace mentor
