// The hosts that this process may start: what its --host flags say. Specs and units name a host and
// never a command, so nobody who may submit experiments chooses what runs. Thread-safe.
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
  // How long it may take to start, and for each answer afterwards.
  std::chrono::milliseconds start{120'000}, answer{60'000};
};

// "NAME=COMMAND": words with spaces between them; what stands in ' or " is one word, and nothing is
// expanded, since no shell sees it. INVALID_ARGUMENT says what is wrong.
absl::StatusOr<HostCommand> ParseHost(const std::string& text);

// From now on these and no others.
absl::Status AllowHosts(std::vector<HostCommand> hosts);
// The same, from the values of --host and --host_timeout_s.
absl::Status AllowHosts(const std::vector<std::string>& flags, int answer_s);
std::optional<HostCommand> FindHost(std::string_view name);
// In the order of their names.
std::vector<std::string> HostNames();

}  // namespace mentor::envs
