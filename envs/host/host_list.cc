#include "envs/host/host_list.h"

#include <algorithm>
#include <map>
#include <utility>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/hosts.h"
#include "common/mutex.h"

namespace mentor::envs {
namespace {

struct Allowed {
  Mutex mutex;
  std::map<std::string, SimulatorCommand, std::less<>> hosts ABSL_GUARDED_BY(mutex);
};

Allowed& AllowedSimulators() {
  static Allowed& allowed = *new Allowed;  // Outlives all threads.
  return allowed;
}

absl::StatusOr<std::vector<std::string>> SplitWords(std::string_view text) {
  std::vector<std::string> words;
  bool in_word = false;
  char quote = 0;
  for (const char c : text) {
    if (quote == 0 && c == ' ') {
      in_word = false;
      continue;
    }
    if (!in_word) words.emplace_back();
    in_word = true;
    if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else {
      words.back() += c;
    }
  }
  if (quote != 0)
    return absl::InvalidArgumentError(absl::StrCat("a ", std::string(1, quote), " is not closed"));
  return words;
}

}  // namespace

absl::StatusOr<SimulatorCommand> ParseSimulator(const std::string& text) {
  const auto wrong = [&](std::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("--simulator ", text, ": ", std::string(why),
                     "; give NAME=COMMAND, for instance gym='python3 -m mentor_env'"));
  };
  const size_t equals = text.find('=');
  if (equals == text.npos) return wrong("has no '='");
  SimulatorCommand host{.name = text.substr(0, equals), .command = {}};
  if (!IsHostName(host.name)) {
    return wrong(absl::StrCat("a name has 1 to ", kHostNameBytesMax,
                              " characters, small letters, digits, '-' and '_'"));
  }
  auto words = SplitWords(std::string_view(text).substr(equals + 1));
  if (!words.ok()) return wrong(std::string(words.status().message()));
  if (words->empty() || words->front().empty()) return wrong("the command is empty");
  host.command = *std::move(words);
  return host;
}

absl::Status AllowSimulators(std::vector<SimulatorCommand> hosts) {
  std::map<std::string, SimulatorCommand, std::less<>> by_name;
  for (SimulatorCommand& host : hosts) {
    std::string name = host.name;
    if (!by_name.emplace(name, std::move(host)).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("--simulator ", name, " is given twice; remove one of the two"));
    }
  }
  if (by_name.size() > static_cast<size_t>(kHostsMax)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--simulator is given ", by_name.size(), " times; give at most ", kHostsMax));
  }
  Allowed& allowed = AllowedSimulators();
  const MutexLock lock(allowed.mutex);
  allowed.hosts = std::move(by_name);
  return absl::OkStatus();
}

absl::Status AllowSimulators(const std::vector<std::string>& flags, int answer_s) {
  std::vector<SimulatorCommand> hosts;
  for (const std::string& flag : flags) {
    MENTOR_ASSIGN_OR_RETURN(SimulatorCommand host, ParseSimulator(flag));
    host.answer = std::chrono::seconds(answer_s);
    host.start = std::max(host.start, 2 * host.answer);
    hosts.push_back(std::move(host));
  }
  return AllowSimulators(std::move(hosts));
}

std::optional<SimulatorCommand> FindSimulator(std::string_view name) {
  Allowed& allowed = AllowedSimulators();
  const MutexLock lock(allowed.mutex);
  const auto found = allowed.hosts.find(name);
  if (found == allowed.hosts.end()) return std::nullopt;
  return found->second;
}

std::vector<std::string> SimulatorNames() {
  Allowed& allowed = AllowedSimulators();
  const MutexLock lock(allowed.mutex);
  std::vector<std::string> names;
  for (const auto& [name, host] : allowed.hosts) names.push_back(name);
  return names;
}

}  // namespace mentor::envs
