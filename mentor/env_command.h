// `mentor env`: look at environments, benchmarks and wrappers; draw their scenes; replay recorded
// episodes.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace mentor {

// Adds `env` to the command line; the chosen command becomes *action.
void AddEnvCommand(CLI::App* app, std::function<int()>* action);

}  // namespace mentor
