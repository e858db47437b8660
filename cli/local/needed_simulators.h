// Simulators that the environments of a run need: in one process nobody else can bring them.
#pragma once

#include <absl/status/status.h>

#include "envs/benchmark.h"

namespace mentor {

// FAILED_PRECONDITION with the flag to add where --simulator does not offer one that the
// benchmark's tasks need.
absl::Status CheckSimulators(const envs::Benchmark& benchmark);

}  // namespace mentor
