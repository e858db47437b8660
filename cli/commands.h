// The commands of `mentor`. Each function adds its own to the command line, and *action is set when
// the user types it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>
#include <absl/status/statusor.h>

namespace mentor {

using Action = std::function<int()>;

void AddRunCommand(CLI::App* app, Action* action);
void AddEvaluateCommand(CLI::App* app, Action* action);
void AddReportCommand(CLI::App* app, Action* action);
void AddWebCommand(CLI::App* app, Action* action);  // The page of docs/web.md for run folders.
void AddReproduceCommand(CLI::App* app, Action* action);
void AddFetchCommand(CLI::App* app, Action* action);
void AddExportCommand(CLI::App* app, Action* action);  // What a run has learned, as files.
void AddHashCommand(CLI::App* app, Action* action);
void AddNewCommand(CLI::App* app, Action* action);
void AddEnvCommand(CLI::App* app, Action* action);
// The parts of `mentor env` with files of their own.
void AddEnvCheck(CLI::App* env, Action* action);  // Tests promises (envs/promises.h).
void AddFacts(CLI::App* env, Action* action);     // A simulator's facts as a spec.

// Its exit code when something keeps the spec from learning.
inline constexpr int kExitFound = 3;
void AddDoctorCommand(CLI::App* app, Action* action);

// rule, signal and curriculum, each with list and show.
void AddRuleCommands(CLI::App* app, Action* action);
// `kind`: "rule", "signal" or "curriculum".
std::string DescribeParts(const std::string& kind, bool json);
// NOT_FOUND names the existing parts.
absl::StatusOr<std::string> DescribePart(const std::string& kind, const std::string& name,
                                         bool json);

// Adds a command with flags, which live as long as its action.
template <typename Flags, typename Run>
std::pair<CLI::App*, Flags*> AddCommand(CLI::App* parent, Action* action, const std::string& name,
                                        const std::string& help, Run run) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* command = parent->add_subcommand(name, help);
  command->callback([=] { *action = [=] { return run(*flags); }; });
  return {command, flags.get()};
}

}  // namespace mentor
