// `mentor reproduce`.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace mentor {

// Adds `reproduce` to the command line. Sets *action when the user types it.
void AddReproduceCommand(CLI::App* app, std::function<int()>* action);

}  // namespace mentor
