// Generates the manual page from the tree of commands.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/process/command_line.h"

namespace mentor {

struct Manual {
  std::string program;
  std::string commands = "COMMAND";  // The program's word for its commands.
  std::vector<std::pair<int, std::string>> exit_meanings = {};  // By code.
};

// Returns the whole tree as one --help in the form that help2man reads. Pure.
std::string ManualText(const CLI::App& root, const Manual& manual);

// Adds the hidden `__man`, which prints the manual.
void AddManualCommand(CLI::App* root, Manual manual, const SetAction& set);

}  // namespace mentor
