// What a signal network looks at: one lifetime of an evaluation is lived again in this thread, and
// the network explains its first and its last inner iteration.
#pragma once

#include <absl/status/statusor.h>

#include "envs/benchmark.h"
#include "mentor/local/trained_run.h"
#include "mentor/v1/evaluation.pb.h"

namespace mentor {

// Maps of the first episodes of the first lifetime that `spec` evaluates on the benchmark. Empty
// where the network has nothing to show, or where its inputs are known to the learner only.
// spec: the run's, or that of another evaluation.
absl::StatusOr<v1::SignalMaps> LookInside(const TrainedRun& run, const v1::ExperimentSpec& spec,
                                          const envs::Benchmark& benchmark, envs::Split split);

}  // namespace mentor
