// Logs: one JSON object per line on stderr, or text for people. Thread-safe.
//
//   MENTOR_LOG(kInfo, "actor connected", {{"peer", uid}, {"threads", 4}});
//   // At most once in ten seconds from this place:
//   MENTOR_LOG_EVERY(std::chrono::seconds(10), kWarning, "no actor");
//
// Info: at most once in some seconds per call site. Warning: handled, but worth a look. Error: work
// was lost or refused.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>

#include <absl/status/status.h>

namespace mentor::log {

enum class Severity { kDebug, kInfo, kWarning, kError };
enum class Format { kJson, kText };

struct Options {
  Format format = Format::kJson;
  Severity least = Severity::kInfo;
  std::string logger;  // Name of the process, for instance "actor".
};

// Call once in main, before threads start. Also routes gRPC's own messages here. Without it: JSON
// from kInfo on.
void Init(const Options& options);
// Returns the number of lines written so far, by severity.
std::array<uint64_t, 4> Counts();

// Receives every line that has a field "experiment": its value, and the line as JSON. Called from
// any thread, so it must be quick, and must not log. Null removes the observer.
using Observer = std::function<void(std::string_view experiment, const std::string& json_line)>;
void SetObserver(Observer observer);

// A key with its value as JSON.
class Field {
 public:
  Field(std::string_view key, std::string_view value);
  Field(std::string_view key, const char* value) : Field(key, std::string_view(value)) {}
  Field(std::string_view key, const std::string& value) : Field(key, std::string_view(value)) {}
  Field(std::string_view key, absl::string_view value)
      : Field(key, std::string_view(value.data(), value.size())) {}
  Field(std::string_view key, const absl::Status& value);  // "CODE: message [REASON]"
  Field(std::string_view key, bool value) : key_(key), json_(value ? "true" : "false") {}
  Field(std::string_view key, double value);
  template <typename Integer>
  requires(std::is_integral_v<Integer> && !std::is_same_v<Integer, bool>)
      Field(std::string_view key, Integer value)
      : key_(key), json_(std::to_string(value)) {}

  std::string_view key() const { return key_; }
  const std::string& json() const { return json_; }

 private:
  std::string_view key_;  // Must be a literal.
  std::string json_;
};

// Called by the macros.
void Write(Severity severity, const char* file, int line, std::string_view message,
           std::initializer_list<Field> fields = {});
// Writes under another logger's name than the process's, for lines that are collected separately,
// such as "audit".
void WriteFor(std::string_view logger, Severity severity, const char* file, int line,
              std::string_view message, std::initializer_list<Field> fields = {});
// Returns the line without its line end, for tests.
std::string FormatLine(Format format, std::string_view time, Severity severity,
                       std::string_view logger, const char* file, int line,
                       std::string_view message, std::initializer_list<Field> fields);
// Returns true at most once per period for one `next_ns`.
bool Due(std::atomic<int64_t>* next_ns, std::chrono::nanoseconds period);

}  // namespace mentor::log

#define MENTOR_LOG(severity, ...) \
  ::mentor::log::Write(::mentor::log::Severity::severity, __FILE__, __LINE__, __VA_ARGS__)

#define MENTOR_LOG_FOR(logger, severity, ...)                                            \
  ::mentor::log::WriteFor(logger, ::mentor::log::Severity::severity, __FILE__, __LINE__, \
                          __VA_ARGS__)

#define MENTOR_LOG_EVERY(period, severity, ...)                                             \
  do {                                                                                      \
    static std::atomic<int64_t> mentor_log_next_ns{0};                                      \
    if (::mentor::log::Due(&mentor_log_next_ns, period)) MENTOR_LOG(severity, __VA_ARGS__); \
  } while (false)
