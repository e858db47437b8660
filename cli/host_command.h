// `mentor env facts`: prints a simulator's facts about its environment in the form of a spec. Also
// the flag --simulator for other commands.
#pragma once

#include <functional>
#include <string>

#include <absl/status/status.h>

#include "cli/env_subject.h"
#include "common/process/flags.h"

namespace CLI {
class App;
}

namespace mentor {

// Allows the simulators of the flags. With an empty *name and a single simulator, *name and
// *options become those of the simulator's environment. Adds a simulator's facts to the options of
// its environment.
absl::Status TakeSimulators(const SimulatorFlags& flags, std::string* name,
                            EnvironmentOptions* options);

void AddFacts(CLI::App* env, std::function<int()>* action);

}  // namespace mentor
