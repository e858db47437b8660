// The hosts that this process may start, from its --host flags. Specs and units name a host, never
// a command, so submitting experiments does not choose what runs. Thread-safe.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace mentor::envs {

struct HostCommand {
  std::string name;
  std::vector<std::string> command;  // A program, looked up in PATH, and its arguments.
  // Time limits of the start, and of each later answer.
  std::chrono::milliseconds start{120'000}, answer{60'000};
};

// "NAME=COMMAND": words separated by spaces. Text in ' or " is one word. Nothing is expanded,
// because no shell sees it. INVALID_ARGUMENT says what is wrong.
absl::StatusOr<HostCommand> ParseHost(const std::string& text);

// Replaces the list of allowed hosts.
absl::Status AllowHosts(std::vector<HostCommand> hosts);
// The same, from the values of --host and --host_timeout_s.
absl::Status AllowHosts(const std::vector<std::string>& flags, int answer_s);
std::optional<HostCommand> FindHost(std::string_view name);
// In the order of their names.
std::vector<std::string> HostNames();

}  // namespace mentor::envs
