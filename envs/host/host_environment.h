// The environment `host`: a program that an operator has allowed simulates it
// (docs/own_environments.md). Its process is started with the first episode, one for each object,
// so one for each worker thread. What is checked here: everything that it says.
#pragma once

#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/options.h"
#include "mentor/v1/environment_host.pb.h"
#include "mentor/v1/rollout_service.pb.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::envs {

// Starts the host for a moment and asks. FAILED_PRECONDITION where it is not allowed.
absl::StatusOr<v1::EnvironmentFacts> AskFacts(const OptionValues& options);

// Asks the hosts that a spec names, and that are allowed here, for the facts that it does not state
// yet, and writes them into it. Whether there were such.
absl::StatusOr<bool> LearnFacts(v1::BenchmarkSpec* benchmark);

}  // namespace mentor::envs
