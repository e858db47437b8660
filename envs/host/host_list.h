// The simulators that this process may start, from its --simulator flags. Specs and units name a
// simulator, never a command, so submitting experiments does not choose what runs. Thread-safe.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace mentor::envs {

struct SimulatorCommand {
  std::string name;
  std::vector<std::string> command;  // A program, looked up in PATH, and its arguments.
  // Time limits of the start, and of each later answer.
  std::chrono::milliseconds start{120'000}, answer{60'000};
};

// "NAME=COMMAND": words separated by spaces. Text in ' or " is one word. Nothing is expanded,
// because no shell sees it. INVALID_ARGUMENT says what is wrong.
absl::StatusOr<SimulatorCommand> ParseSimulator(const std::string& text);

// Replaces the list of allowed simulators.
absl::Status AllowSimulators(std::vector<SimulatorCommand> hosts);
// The same, from the values of --simulator and --simulator_timeout_s.
absl::Status AllowSimulators(const std::vector<std::string>& flags, int answer_s);
std::optional<SimulatorCommand> FindSimulator(std::string_view name);
// In the order of their names.
std::vector<std::string> SimulatorNames();

}  // namespace mentor::envs
