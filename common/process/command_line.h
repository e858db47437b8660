// Parses the command lines of all programs and explains their errors. One thread.
//
//   CLI::App app("...");
//   ... options and commands ...
//   if (const auto code = ParseCommandLine(&app, argc, argv)) return *code;
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "common/rpc/address.h"

namespace mentor {

// Extends CLI11. "--order-by" means "--order_by"; `help COMMAND` works, and in a program with
// commands also `help`. Without arguments, a program that needs a command prints the help. Wrong
// commands, flags and values are answered with the nearest names. Returns an exit code if the
// program must end: kExitOk after --help or --version, kExitUsage after an error.
std::optional<int> ParseCommandLine(CLI::App* app, int argc, const char* const* argv);

// --version: "PROGRAM VERSION", and `build` on a second line. Takes the place of an earlier one; a
// command says what its program says.
void AddVersionFlag(CLI::App* app, const std::string& build = "");

// Accepts one of `names`. Its type is "{a,b}", which completion reads. Other values are answered
// with the nearest names.
CLI::Validator OneOf(std::vector<std::string> names);

// Accepts numbers of the range. CLI::Range accepts NaN, too, which is not beyond either end.
CLI::Validator NumberIn(double least, double most);

// For CLI::Option::transform: accepts HOST:PORT, or up to `most` of them with commas, and stores
// what rpc::ParseAddress returns.
CLI::Validator Addresses(rpc::AddressOf of, size_t most = 1);

// While it lives, options of the app are added under this heading of its help.
class InGroup {
 public:
  InGroup(CLI::App* app, const std::string& name)
      : defaults_(app->option_defaults()), before_(defaults_->get_group()) {
    defaults_->group(name);
  }
  ~InGroup() { defaults_->group(before_); }

 private:
  CLI::OptionDefaults* const defaults_;
  const std::string before_;
};

// Sets the action of `command`; each program has its own implementation.
using SetAction = std::function<void(CLI::App* command, std::function<int()> action)>;

}  // namespace mentor
