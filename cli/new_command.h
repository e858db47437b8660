// `mentor new`: writes a folder with a task, a spec and a README that work at once.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace mentor {

// Adds `new` with its kinds. Sets *action when the user chooses one.
void AddNewCommand(CLI::App* app, std::function<int()>* action);

}  // namespace mentor
