// `mentor env check`: tests the promises of an environment and reports the results
// (envs/promises.h).
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace mentor {

// Adds `check` to `mentor env`. Sets *action when the user chooses it.
void AddEnvCheck(CLI::App* env, std::function<int()>* action);

}  // namespace mentor
