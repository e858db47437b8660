// How every program reads its command line and says what is wrong with it. One thread.
//
//   CLI::App app("...");
//   ... options and commands ...
//   if (const auto code = ParseCommandLine(&app, argc, argv)) return *code;
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace mentor {

// Beside what CLI11 takes: "--order-by" for "--order_by"; `help COMMAND` and, in a program with
// commands, `help`; no argument at all where a command is needed, which prints the help. Wrong
// commands, flags and values are answered with the nearest names. The exit code where the program
// ends here: kExitOk after --help or --version, kExitUsage.
std::optional<int> ParseCommandLine(CLI::App* app, int argc, const char* const* argv);

// --version: "PROGRAM VERSION".
void AddVersionFlag(CLI::App* app);

// One of `names`, in the type "{a,b}" that completion reads; another value is answered with the
// nearest of them.
CLI::Validator OneOf(std::vector<std::string> names);

// Says what is done when `command` was typed: the program's own way.
using SetAction = std::function<void(CLI::App* command, std::function<int()> action)>;

}  // namespace mentor
