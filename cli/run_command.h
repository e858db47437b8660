// `mentor run`.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace mentor {

void AddRunCommand(CLI::App* app, std::function<int()>* action);

}  // namespace mentor
