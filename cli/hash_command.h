// `mentor hash`.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace mentor {

// Adds `hash` to the command line. Sets *action when the user types it.
void AddHashCommand(CLI::App* app, std::function<int()>* action);

}  // namespace mentor
