#include "common/process/command_line.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <utility>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/edit_distance.h"
#include "common/printable.h"
#include "common/process/flags.h"
#include "common/protocol.h"

namespace mentor {
namespace {

constexpr char kHelp[] = "help";

// Normalises a flag's spelling: dashes become underscores.
std::string WithUnderscores(const std::string& argument) {
  if (!argument.starts_with("--") || argument.size() < 4) return argument;
  const size_t end = std::min(argument.find('='), argument.size());
  std::string spelled = argument;
  std::replace(spelled.begin() + 3, spelled.begin() + static_cast<std::ptrdiff_t>(end), '-', '_');
  return spelled;
}

std::vector<std::string> CommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!command->get_name().starts_with("__")) names.push_back(command->get_name());
  }
  if (app.get_parent() == nullptr) names.emplace_back(kHelp);
  return names;
}

// Returns flags of the command, and of its ancestors whose flags may follow it.
std::vector<std::string> FlagNames(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* app = &command; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
    if (!app->get_fallthrough()) break;
  }
  return names;
}

// The innermost command that was typed.
struct Typed {
  const CLI::App* command;
  std::string path;  // "mentor env show"
};

Typed TypedCommand(const CLI::App& root) {
  Typed typed = {&root, root.get_name()};
  while (!typed.command->get_subcommands().empty()) {
    typed.command = typed.command->get_subcommands().front();
    absl::StrAppend(&typed.path, " ", typed.command->get_name());
  }
  return typed;
}

// Returns "there is no 'env shwo'; did you mean 'show'?".
std::string WrongCommand(const std::string& path, const CLI::App& app, const std::string& word) {
  // The path without the program's name.
  const size_t space = path.find(' ');
  const std::string above = space == path.npos ? "" : path.substr(space + 1) + " ";
  return absl::StrCat("there is no '", above, word, "'; ", NameHint(word, CommandNames(app)));
}

std::string WrongFlag(const Typed& typed, const CLI::App& root, const std::string& word) {
  const std::string flag = word.substr(0, word.find('='));
  const std::vector<std::string> names = FlagNames(*typed.command);
  const bool single = flag.size() > 1 && flag[1] != '-';
  if (!single && typed.command != &root &&
      std::find(names.begin(), names.end(), flag) != names.end()) {
    return absl::StrCat("'", flag, "' is a flag of '", typed.path, "': write it behind that");
  }
  const std::string what = absl::StrCat("'", typed.path, "' has no flag '", flag, "'");
  const std::vector<std::string> near =
      single ? std::vector<std::string>() : NearestNames(flag, names);
  return near.empty() ? what : absl::StrCat(what, "; ", NameHint(flag, names));
}

// Returns our explanation of the error; empty if CLI11's is good enough.
std::string Complaint(const CLI::App& root, const CLI::ParseError& error) {
  const auto code = static_cast<CLI::ExitCodes>(error.get_exit_code());
  const std::string text = error.what();
  if (code == CLI::ExitCodes::ArgumentMismatch && text.ends_with(" missing")) {
    return text.substr(0, text.find(':')) + " needs a value";
  }
  static constexpr std::string_view kConvert = "Could not convert: ";
  if (code == CLI::ExitCodes::ConversionError && text.starts_with(kConvert)) {
    // "--tail = abc"
    const std::string pair = text.substr(kConvert.size());
    const size_t equals = pair.find(" = ");
    const std::string value = equals == pair.npos ? "" : pair.substr(equals + 3);
    double number = 0;
    const bool whole = value.find_first_not_of("0123456789", value.starts_with('-')) == value.npos;
    return absl::StrCat(pair.substr(0, equals), ": '", value,
                        !absl::SimpleAtod(value, &number) ? "' is not a number"
                        : !whole                          ? "' is not a whole number"
                        : number < 0                      ? "' is below 0; give 0 or more"
                                                          : "' is too large");
  }
  if (code != CLI::ExitCodes::RequiredError && code != CLI::ExitCodes::ExtrasError) return "";
  const Typed typed = TypedCommand(root);
  const std::vector<std::string> words = root.remaining(/*recurse=*/true);
  const bool command_missing = typed.command->get_require_subcommand_min() > 0;
  if (command_missing && !words.empty() && !words[0].starts_with('-')) {
    return WrongCommand(typed.path, *typed.command, words[0]);
  }
  // An unknown flag is a better explanation than a misplaced argument after it.
  for (const std::string& word : words) {
    if (word == "--") break;
    if (word.starts_with('-') && word != "-") return WrongFlag(typed, root, word);
  }
  if (code == CLI::ExitCodes::ExtrasError && !words.empty()) {
    return absl::StrCat("'", typed.path, "' does not know what to do with '",
                        absl::StrJoin(words, " "), "'");
  }
  return command_missing ? absl::StrCat("'", typed.path, "' needs a command") : "";
}

int SayHowToUse(const std::string& complaint, const std::string& path) {
  std::fprintf(stderr, "error: %s\n'%s --help' says more.\n", PrintableLines(complaint).c_str(),
               path.c_str());
  return kExitUsage;
}

}  // namespace

std::optional<int> ParseCommandLine(CLI::App* app, int argc, const char* const* argv) {
  if (app->get_name().empty()) app->name(std::filesystem::path(argv[0]).filename().string());
  std::vector<std::string> words;
  bool names_follow = false;
  for (int i = 1; i < argc; ++i) {
    names_follow |= std::string_view(argv[i]) == "--";
    words.push_back(names_follow ? argv[i] : WithUnderscores(argv[i]));
  }
  if (!words.empty() && words[0] == kHelp && !app->get_subcommands({}).empty()) {
    words.erase(words.begin());
    const CLI::App* command = app;
    std::string path = app->get_name();
    for (const std::string& word : words) {
      if (word.starts_with('-')) break;
      const auto below =
          command->get_subcommands([&](const CLI::App* one) { return one->check_name(word); });
      if (below.empty()) return SayHowToUse(WrongCommand(path, *command, word), path);
      command = below[0];
      absl::StrAppend(&path, " ", word);
    }
    words.emplace_back("--help");
  }
  try {
    std::vector<std::string> reversed(words.rbegin(), words.rend());
    app->parse(std::move(reversed));
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
      app->exit(error);
      return kExitOk;
    }
    const Typed typed = TypedCommand(*app);
    // `mentor` or `mentor env` alone.
    if (typed.command->get_require_subcommand_min() > 0 &&
        app->remaining(/*recurse=*/true).empty() &&
        error.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError)) {
      std::fprintf(stderr, "%s", app->help().c_str());
      return kExitUsage;
    }
    const std::string complaint = Complaint(*app, error);
    return SayHowToUse(complaint.empty() ? error.what() : complaint, typed.path);
  }
}

void AddVersionFlag(CLI::App* app, const std::string& build) {
  app->set_version_flag(
      "--version",
      [app, build] {
        if (const CLI::App* program = app->get_parent(); program != nullptr)
          return program->version();
        return absl::StrCat(app->get_name(), " ", std::string(kBuildVersion),
                            build.empty() ? "" : "\n", build);
      },
      "Print the version and exit");
}

CLI::Validator OneOf(std::vector<std::string> names) {
  std::string type = "{" + absl::StrJoin(names, ",") + "}";
  return CLI::Validator(
      [names = std::move(names)](const std::string& value) -> std::string {
        if (std::find(names.begin(), names.end(), value) != names.end()) return "";
        const std::string all = "'" + value + "' is none of " + absl::StrJoin(names, ", ");
        return NearestNames(value, names).empty() ? all : all + "; " + NameHint(value, names);
      },
      std::move(type));
}

CLI::Validator NumberIn(double least, double most) {
  const CLI::Range range(least, most);
  return CLI::Validator(
      [range](std::string& text) -> std::string {
        double number = 0;
        if (CLI::detail::lexical_cast(text, number) && std::isnan(number))
          return "Value " + text + " is not a number";
        return range(text);
      },
      range.get_description());
}

CLI::Validator Addresses(rpc::AddressOf of, size_t most) {
  return CLI::Validator(
      [of, most](std::string& text) -> std::string {
        const auto found = rpc::ParseAddresses(text, most, of);
        if (found.ok()) text = absl::StrJoin(*found, ",");
        return std::string(found.status().message());
      },
      "");
}

}  // namespace mentor
