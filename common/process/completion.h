// Completes a program's command line, and makes its manual page, by walking its tree of commands.
// On Tab the shells run a hidden command, `PROGRAM __complete -- WORDS...`. Independent of programs
// and their commands. One thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/process/command_line.h"

namespace mentor {

// Returns names of a kind, such as EXPERIMENT, that the tree does not know. `begun` is the typed
// beginning.
using NamesOf =
    std::function<std::vector<std::string>(std::string_view kind, const std::string& begun)>;

// Returns completions of the last word; `words` are those after the program's name. Each is "word",
// "word<tab>help", ":files" or ":folders". Earlier flags are stored where the tree says, so that
// `names` knows which server is meant.
std::vector<std::string> Complete(CLI::App* root, const std::vector<std::string>& words,
                                  const NamesOf& names);

// Returns the script for bash, zsh or fish, which offers the output of `PROGRAM __complete`.
std::string CompletionScript(const std::string& program, std::string_view shell);

// Adds `completion SHELL` and the hidden `__complete`.
CLI::App* AddCompletionCommands(CLI::App* root, const std::string& program, const SetAction& set,
                                NamesOf names);

// ---- The manual page (manual.cc).

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
