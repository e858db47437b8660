// `mentor env facts`: what a host says of its environment, as a spec takes it; and --host of other
// commands.
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

// Offers the hosts of the flags. Without a *name, the only one is what the command is about: *name
// and *options become those of its environment. A host's environment gets its facts.
absl::Status TakeHosts(const HostFlags& flags, std::string* name, EnvironmentOptions* options);

void AddFacts(CLI::App* env, std::function<int()>* action);

}  // namespace mentor
