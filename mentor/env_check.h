// `mentor env check`: what an environment promises, tried and said in plain words (envs/check.h).
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace mentor {

// Adds `check` to `mentor env`; when it is chosen it becomes *action.
void AddEnvCheck(CLI::App* env, std::function<int()>* action);

}  // namespace mentor
