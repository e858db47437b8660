// Named places where a test can make a process fail. Always compiled in; an unarmed failpoint costs
// a relaxed load.
//
//   MENTOR_FAILPOINTS='name=WHEN:ACTION;...'
//     WHEN    N (the N-th hit) | N+ (from the N-th on) | * | P%SEED (P percent, repeatable)
//     ACTION  kill | stop | exit(CODE) | sleep(MS) | error(TEXT)
//   MENTOR_FAILPOINT_LOG=file: one line "name hit action" for each hit, written before the action.
//
// Only the environment arms failpoints: no flag, file or call over the network can. Thread-safe.
//
//   if (auto error = MENTOR_FAILPOINT("actor.unit.step")) return absl::InternalError(*error);
//   MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("store.commit.in_db")));
//   MENTOR_FAILPOINT("store.commit.before_rename");
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

// Returns the text of error(TEXT) if this hit has that action, else nullopt.
#define MENTOR_FAILPOINT(name) (::mentor::failpoint::internal::Point<name>::Hit())

namespace mentor::failpoint {

// Arms the failpoints in MENTOR_FAILPOINTS. Call it first in main, and exit with 2 on
// INVALID_ARGUMENT: a typo or an unknown name.
absl::Status ArmFromEnvironment();
// Arms the failpoints in `text` and disarms all others; empty: disarms all. For tests in one
// process.
absl::Status Arm(std::string_view text);
// Returns the names of all failpoints of this binary, sorted.
std::vector<std::string> Names();
// Returns the hits of armed failpoints so far, by name.
std::map<std::string, uint64_t> Hits();

// Returns the error for what MENTOR_FAILPOINT returned: UNAVAILABLE, or DISK_FULL for the text
// "ENOSPC".
absl::Status Error(const std::optional<std::string>& text);

namespace internal {

struct Rule {
  enum class When { kExactly, kFrom, kAlways, kPercent };
  enum class Action { kKill, kStop, kExit, kSleep, kError };
  When when = When::kAlways;
  uint64_t number = 0;  // Number of the hit, or percentage.
  uint64_t seed = 0;
  Action action = Action::kError;
  uint64_t argument = 0;  // Exit code, or milliseconds.
  std::string text;       // As written, for the log.
  std::string error;

  bool Due(uint64_t hit) const;
};

// Checks the grammar only, not the names. A fuzz target.
absl::StatusOr<std::map<std::string, Rule>> Parse(std::string_view text);

extern std::atomic<bool> armed;
bool Register(const char* name);
std::optional<std::string> HitArmed(const char* name);

template <size_t N>
struct Name {
  char text[N];
  consteval Name(const char (&literal)[N]) {
    std::copy_n(literal, N, text);
  }  // NOLINT: implicit by design
};

// One class for each name, so that its static member registers the name before main in every binary
// that contains the failpoint.
template <Name name>
struct Point {
  static inline const bool registered = Register(name.text);
  static std::optional<std::string> Hit() {
    static_cast<void>(&registered);
    if (!armed.load(std::memory_order_relaxed)) [[likely]]
      return std::nullopt;
    return HitArmed(name.text);
  }
};

}  // namespace internal
}  // namespace mentor::failpoint
