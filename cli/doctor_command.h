// `mentor doctor`: why nothing is learned.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace mentor {

// Its exit code when something keeps the spec from learning.
inline constexpr int kExitFound = 3;

void AddDoctorCommand(CLI::App* app, std::function<int()>* action);

}  // namespace mentor
