// What may stand next on a program's command line: a walk over its tree of commands. The shells ask
// for it at the Tab key, by a hidden command, `PROGRAM __complete -- WORDS...`. Knows no program
// and no command by name. One thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/process/command_line.h"

namespace mentor {

// Names of a kind, say EXPERIMENT, that the tree does not know. `begun` is what was typed of one.
using NamesOf =
    std::function<std::vector<std::string>(std::string_view kind, const std::string& begun)>;

// What the last of the words may become; `words` are those behind the program's name. Lines are
// "word", "word<tab>help", ":files" or ":folders". Flags before it are stored where the tree says,
// so that `names` knows which server is meant.
std::vector<std::string> Complete(CLI::App* root, const std::vector<std::string>& words,
                                  const NamesOf& names);

// What bash, zsh or fish reads: it shows what `PROGRAM __complete` prints.
std::string CompletionScript(const std::string& program, std::string_view shell);

// Adds `completion SHELL` and the hidden `__complete`.
CLI::App* AddCompletionCommands(CLI::App* root, const std::string& program, const SetAction& set,
                                NamesOf names);

}  // namespace mentor
