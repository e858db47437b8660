#include <algorithm>
#include <cstdio>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include "common/process/completion.h"

namespace mentor {
namespace {

// Returns the type without the checks after it: "KIND:{...}", "NUMBER:INT in [1 - 100]".
std::string TypeOf(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  size_t end = type.size();
  for (const char* check : {":{", ":INT ", ":UINT ", ":FLOAT "}) {
    end = std::min(end, type.find(check));
  }
  return type.substr(0, end);
}

// Returns "  -f, --file=FILE  description", which help2man recognises as an option.
std::string ManualFlag(const CLI::Option& option) {
  std::vector<std::string> spellings;
  for (const std::string& name : option.get_snames()) spellings.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) spellings.push_back("--" + name);
  std::string line = "  " + absl::StrJoin(spellings, ", ");
  const bool takes_value = option.get_expected_max() > 0 && option.get_type_size() != 0;
  if (takes_value && !TypeOf(option).empty()) absl::StrAppend(&line, "=", TypeOf(option));
  absl::StrAppend(&line, "  ", option.get_description());
  const std::string& otherwise = option.get_default_str();
  if (!otherwise.empty()) absl::StrAppend(&line, "; default ", otherwise);
  return line + "\n";
}

// Turns indented lines of "Examples:" into commands after a prompt, which help2man leaves
// unchanged.
std::string ManualExamples(const CLI::App& command) {
  std::string text;
  for (const absl::string_view line : absl::StrSplit(command.get_footer(), '\n')) {
    if (line.empty()) break;
    if (absl::StartsWith(line, "  ")) absl::StrAppend(&text, "  $ ", line.substr(2), "\n");
  }
  return text;
}

std::string UsageOf(const CLI::App& command, const std::string& path) {
  std::string usage = path;
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_positional()) continue;
    std::string word = absl::AsciiStrToUpper(option->get_name(true));
    if (option->get_expected_max() > 1) word += "...";
    absl::StrAppend(&usage, " ", option->get_required() ? word : "[" + word + "]");
  }
  return usage;
}

void AddManual(const CLI::App& command, const std::string& program, const std::string& path,
               std::string* text) {
  for (const CLI::App* below : command.get_subcommands({})) {
    if (below->get_group().empty()) continue;
    const std::string own = path.empty() ? below->get_name() : path + " " + below->get_name();
    if (!below->get_subcommands({}).empty()) {
      AddManual(*below, program, own, text);
      continue;
    }
    absl::StrAppend(text, "\n*", own, "*\n\n", program, " ", UsageOf(*below, own), "\n\n",
                    below->get_description(), ".\n\n");
    for (const CLI::Option* option : below->get_options()) {
      if (!option->get_positional() && option != below->get_help_ptr()) {
        absl::StrAppend(text, ManualFlag(*option));
      }
    }
    for (const CLI::Option* option : below->get_options()) {
      if (!option->get_positional()) continue;
      absl::StrAppend(text, "\n", absl::AsciiStrToUpper(option->get_name(true)), ": ",
                      option->get_description(), ".\n");
    }
    absl::StrAppend(text, "\n", ManualExamples(*below), "\n");
  }
}

}  // namespace

std::string ManualText(const CLI::App& root, const Manual& manual) {
  std::string text = absl::StrCat("Usage: ", manual.program, " [OPTION]... ", manual.commands,
                                  " [ARGUMENT]...\n\n", root.get_description(), "\n\nOptions:\n");
  for (const CLI::Option* option : root.get_options()) absl::StrAppend(&text, ManualFlag(*option));
  AddManual(root, manual.program, "", &text);
  absl::StrAppend(&text, "\n*Exit status*\n\n");
  for (const auto& [code, meaning] : manual.exit_meanings) {
    absl::StrAppend(&text, "  ", code, "  ", meaning, "\n");
  }
  absl::StrAppend(&text, "\nExamples:\n", ManualExamples(root));
  return text;
}

void AddManualCommand(CLI::App* root, Manual manual, const SetAction& set) {
  CLI::App* command = root->add_subcommand("__man", "Text of the manual page")->group("");
  set(command, [root, manual = std::move(manual)] {
    std::printf("%s", ManualText(*root, manual).c_str());
    return 0;
  });
}

}  // namespace mentor
