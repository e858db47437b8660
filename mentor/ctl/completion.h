// Shell completion and the text that the manual page is made of, both by walking the tree of verbs.
// Pure.
#pragma once

#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

namespace mentor::ctl {

enum class Shell { kBash, kZsh, kFish };

// The script that a shell reads. It asks `mentorctl __complete` for names on the server.
std::string CompletionScript(const CLI::App& root, Shell shell);

// The whole tree as one --help in the form that help2man reads.
std::string ManualText(const CLI::App& root);

}  // namespace mentor::ctl
