#include "common/failpoint.h"

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <mutex>
#include <set>
#include <thread>

#include <absl/strings/str_cat.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/check.h"
#include "common/mutex.h"
#include "common/status.h"

namespace mentor::failpoint {
namespace internal {

std::atomic<bool> armed{false};

namespace {

struct State {
  Mutex mutex;
  std::set<std::string> names ABSL_GUARDED_BY(mutex);
  std::map<std::string, Rule> rules ABSL_GUARDED_BY(mutex);
  std::map<std::string, uint64_t> hits ABSL_GUARDED_BY(mutex);
};

State& TheState() {
  static State* const state = new State;  // Failpoints may be hit while statics are destroyed.
  return *state;
}

// The finaliser of splitmix64.
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

absl::Status Bad(std::string_view one, std::string_view why) {
  return absl::InvalidArgumentError("MENTOR_FAILPOINTS: '" + std::string(one) +
                                    "': " + std::string(why) + "; expected name=WHEN:ACTION");
}

bool ParseWhen(std::string_view text, Rule* rule) {
  using When = Rule::When;
  const size_t percent = text.find('%');
  const bool by_chance = percent != text.npos;
  rule->when = text == "*"           ? When::kAlways
               : by_chance           ? When::kPercent
               : text.ends_with('+') ? When::kFrom
                                     : When::kExactly;
  if (rule->when == When::kAlways) return true;
  if (rule->when == When::kFrom) text.remove_suffix(1);
  const auto number = ParseNumber(text.substr(0, percent));
  const auto seed = by_chance ? ParseNumber(text.substr(percent + 1)) : uint64_t{0};
  if (!number || !seed || (by_chance ? *number > 100 : *number == 0)) return false;
  rule->number = *number;
  rule->seed = *seed;
  return true;
}

bool ParseAction(std::string_view text, Rule* rule) {
  using Action = Rule::Action;
  rule->text = text;
  const size_t open = text.find('(');
  const std::string_view verb = text.substr(0, open);
  if (open == text.npos) {
    rule->action = verb == "kill" ? Action::kKill : Action::kStop;
    return verb == "kill" || verb == "stop";
  }
  if (!text.ends_with(')')) return false;
  const std::string_view argument = text.substr(open + 1, text.size() - open - 2);
  if (verb == "error") {
    rule->action = Action::kError;
    rule->error = argument;
    return true;
  }
  const auto number = ParseNumber(argument);
  rule->action = verb == "exit" ? Action::kExit : Action::kSleep;
  rule->argument = number.value_or(0);
  return number && ((verb == "exit" && *number < 256) || (verb == "sleep" && *number <= 3'600'000));
}

void LogHit(const char* name, uint64_t hit, const Rule& rule) {
  const char* path = std::getenv("MENTOR_FAILPOINT_LOG");
  if (path == nullptr) return;
  const int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) return;
  const std::string line = absl::StrCat(name, " ", hit, " ", rule.text, "\n");
  // A single write of a short line is not interleaved with other writers.
  [[maybe_unused]] const ssize_t written = write(file, line.data(), line.size());
  close(file);
}

// Armed before the first failpoint can be hit, so that processes that do not call
// ArmFromEnvironment can be tested too.
[[maybe_unused]] const bool armed_by_environment = [] {
  if (std::getenv("MENTOR_FAILPOINTS") != nullptr) armed = true;
  return true;
}();
std::once_flag environment_read;

}  // namespace

bool Rule::Due(uint64_t hit) const {
  switch (when) {
    case When::kExactly:
      return hit == number;
    case When::kFrom:
      return hit >= number;
    case When::kAlways:
      return true;
    case When::kPercent:
      return Mix(hit * 0x9e3779b97f4a7c15 + seed) % 100 < number;
  }
  return false;
}

absl::StatusOr<std::map<std::string, Rule>> Parse(std::string_view text) {
  std::map<std::string, Rule> rules;
  while (!text.empty()) {
    const size_t end = std::min(text.find(';'), text.size());
    const std::string_view one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (one.empty()) continue;
    const size_t equals = one.find('='), colon = one.find(':', equals == one.npos ? 0 : equals);
    if (equals == one.npos || equals == 0 || colon == one.npos)
      return Bad(one, "no name, '=' or ':'");
    Rule rule;
    if (!ParseWhen(one.substr(equals + 1, colon - equals - 1), &rule)) {
      return Bad(one, "WHEN is N, N+, * or P%SEED with N from 1 and P up to 100");
    }
    if (!ParseAction(one.substr(colon + 1), &rule)) {
      return Bad(one, "ACTION is kill, stop, exit(0..255), sleep(MS) or error(TEXT)");
    }
    if (!rules.emplace(std::string(one.substr(0, equals)), std::move(rule)).second)
      return Bad(one, "named twice");
  }
  return rules;
}

bool Register(const char* name) {
  State& state = TheState();
  MutexLock lock(state.mutex);
  state.names.insert(name);
  return true;
}

std::optional<std::string> HitArmed(const char* name) {
  if (const absl::Status status = ArmFromEnvironment(); !status.ok()) {
    std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    _exit(2);
  }
  State& state = TheState();
  Rule rule;
  uint64_t hit = 0;
  {
    MutexLock lock(state.mutex);
    const auto found = state.rules.find(name);
    if (found == state.rules.end()) return std::nullopt;
    hit = ++state.hits[name];
    if (!found->second.Due(hit)) return std::nullopt;
    rule = found->second;
  }
  LogHit(name, hit, rule);
  switch (rule.action) {
    case Rule::Action::kKill:
      kill(getpid(), SIGKILL);
      for (;;) pause();
    case Rule::Action::kStop:
      raise(SIGSTOP);
      return std::nullopt;
    case Rule::Action::kExit:
      _exit(static_cast<int>(rule.argument));
    case Rule::Action::kSleep:
      std::this_thread::sleep_for(std::chrono::milliseconds(rule.argument));
      return std::nullopt;
    case Rule::Action::kError:
      return rule.error;
  }
  return std::nullopt;
}

}  // namespace internal

absl::Status ArmFromEnvironment() {
  static absl::Status* const status = new absl::Status;
  std::call_once(internal::environment_read, [] {
    if (const char* text = std::getenv("MENTOR_FAILPOINTS")) *status = Arm(text);
  });
  return *status;
}

absl::Status Arm(std::string_view text) {
  MENTOR_ASSIGN_OR_RETURN(auto rules, internal::Parse(text));
  internal::State& state = internal::TheState();
  MutexLock lock(state.mutex);
  for (const auto& [name, rule] : rules) {
    if (state.names.contains(name)) continue;
    return absl::InvalidArgumentError("MENTOR_FAILPOINTS: unknown point '" + name +
                                      "'; --list_failpoints prints those of this program");
  }
  state.rules = std::move(rules);
  state.hits.clear();
  internal::armed = !state.rules.empty();
  return absl::OkStatus();
}

std::vector<std::string> Names() {
  internal::State& state = internal::TheState();
  MutexLock lock(state.mutex);
  return {state.names.begin(), state.names.end()};
}

std::map<std::string, uint64_t> Hits() {
  internal::State& state = internal::TheState();
  MutexLock lock(state.mutex);
  return state.hits;
}

absl::Status Error(const std::optional<std::string>& text) {
  if (!text) return absl::OkStatus();
  const std::string what = "failpoint: " + *text;
  if (*text == "ENOSPC") return MakeError(Reason::kDiskFull, what);
  return absl::UnavailableError(what);
}

}  // namespace mentor::failpoint
