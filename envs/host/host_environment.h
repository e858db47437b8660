// The environment `host`: a program that an operator has allowed simulates it
// (docs/own_environments.md). Each object, so each worker thread, starts its own process with the
// first episode. Everything that the program says is checked here.
#pragma once

#include <absl/status/statusor.h>

#include "common/options.h"
#include "mentor/v1/environment_host.pb.h"
#include "mentor/v1/rollout_service.pb.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::envs {

// Starts the simulator briefly and asks for its facts. FAILED_PRECONDITION where it is not allowed.
absl::StatusOr<v1::EnvironmentFacts> AskFacts(const OptionValues& options);

// Asks the allowed simulators of a spec for the facts that it does not state yet, and writes them
// into it. Returns true if it wrote any.
absl::StatusOr<bool> LearnFacts(v1::BenchmarkSpec* benchmark);

}  // namespace mentor::envs
