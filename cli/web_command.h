// `mentor web`: the page of docs/web.md for run folders.
#pragma once

#include <functional>

namespace CLI {
class App;
}  // namespace CLI

namespace mentor {

void AddWebCommand(CLI::App* app, std::function<int()>* action);

}  // namespace mentor
