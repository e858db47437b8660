// `mentor reproduce`.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace mentor {

// Sets *action when the command was typed.
void AddReproduceCommand(CLI::App* app, std::function<int()>* action);

}  // namespace mentor
