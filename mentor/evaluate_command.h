// `mentor evaluate RUN...` and `mentor report RUN...`.
#pragma once

#include <functional>

#include <CLI/CLI.hpp>

namespace mentor {

void AddEvaluateCommand(CLI::App* app, std::function<int()>* action);
void AddReportCommand(CLI::App* app, std::function<int()>* action);

}  // namespace mentor
