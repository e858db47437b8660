// `mentor fetch EXPERIMENT`: an experiment of a service as a run folder on this machine, so that
// reports, evaluations and comparisons work with it as with a run of `mentor run`.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace mentor {

void AddFetchCommand(CLI::App* app, std::function<int()>* action);

}  // namespace mentor
