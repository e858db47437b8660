// `mentor export RUN --out DIR`: writes what a run has learned as files for other programs.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace mentor {

void AddExportCommand(CLI::App* app, std::function<int()>* action);

}  // namespace mentor
