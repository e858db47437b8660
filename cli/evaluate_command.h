// `mentor evaluate RUN...` and `mentor report RUN...`.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace mentor {

void AddEvaluateCommand(CLI::App* app, std::function<int()>* action);
void AddReportCommand(CLI::App* app, std::function<int()>* action);

}  // namespace mentor
