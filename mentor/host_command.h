// `mentor env facts`: prints a host's facts about its environment in the form of a spec. Also the
// flag --host for other commands.
#pragma once

#include <functional>
#include <string>

#include <absl/status/status.h>

#include "common/process/flags.h"
#include "mentor/env_subject.h"

namespace CLI {
class App;
}

namespace mentor {

// Allows the hosts of the flags. With an empty *name and a single host, *name and *options become
// those of the host's environment. Adds a host's facts to the options of its environment.
absl::Status TakeHosts(const HostFlags& flags, std::string* name, EnvironmentOptions* options);

void AddFacts(CLI::App* env, std::function<int()>* action);

}  // namespace mentor
