// `mentor env`: shows environments, benchmarks and wrappers, draws their scenes, and replays
// recorded episodes.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace mentor {

// Adds `env` to the command line. Sets *action to the chosen command.
void AddEnvCommand(CLI::App* app, std::function<int()>* action);

}  // namespace mentor
