#include "common/log.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>
#include <grpc/support/log.h>
#include <nlohmann/json.hpp>

#include "common/mutex.h"
#include "common/printable.h"
#include "common/status.h"

namespace mentor::log {
namespace {

constexpr std::array<std::string_view, 4> kSeverityNames = {"debug", "info", "warning", "error"};

struct LogState {
  Options options;  // Constant once Init has returned.
  std::array<std::atomic<uint64_t>, 4> counts{};
  Mutex observer_mutex;
  Observer observer ABSL_GUARDED_BY(observer_mutex);
};

LogState& TheLog() {
  static LogState* const state = new LogState;  // Threads may log while statics are destroyed.
  return *state;
}

// Returns a JSON string. Bytes that are not UTF-8 become U+FFFD, so that every line is valid, and
// names from peers cannot control a terminal.
std::string Quoted(std::string_view text) {
  return PrintableJson(nlohmann::json(text).dump(/*indent=*/-1, /*indent_char=*/' ',
                                                 /*ensure_ascii=*/false,
                                                 nlohmann::json::error_handler_t::replace));
}

std::string_view BaseName(const char* file) {
  const char* slash = std::strrchr(file, '/');
  return slash ? slash + 1 : file;
}

// Limit per second: gRPC writes a line for each failed handshake, which anyone can cause.
constexpr uint64_t kGrpcLinesPerSecond = 10;

void GrpcLog(gpr_log_func_args* args) {
  static std::atomic<int64_t> second{0};
  static std::atomic<uint64_t> lines{0};
  const int64_t now = std::chrono::duration_cast<std::chrono::seconds>(
                          std::chrono::steady_clock::now().time_since_epoch())
                          .count();
  if (second.exchange(now) != now) {
    const uint64_t before = lines.exchange(0);
    if (before > kGrpcLinesPerSecond) {
      Write(Severity::kWarning, __FILE__, __LINE__, "lines of gRPC were left out",
            {{"lines", before - kGrpcLinesPerSecond}, {"source", "grpc"}});
    }
  }
  if (lines.fetch_add(1) >= kGrpcLinesPerSecond) return;
  const Severity severity = args->severity == GPR_LOG_SEVERITY_ERROR  ? Severity::kWarning
                            : args->severity == GPR_LOG_SEVERITY_INFO ? Severity::kInfo
                                                                      : Severity::kDebug;
  Write(severity, args->file, args->line, args->message, {{"source", "grpc"}});
}

absl::string_view ToAbsl(std::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

Field::Field(std::string_view key, std::string_view value) : key_(key), json_(Quoted(value)) {}

Field::Field(std::string_view key, const absl::Status& value) : key_(key) {
  std::string text =
      value.ok() ? "OK"
                 : absl::StrCat(absl::StatusCodeToString(value.code()), ": ", value.message());
  if (const std::string reason = ReasonOf(value); !reason.empty())
    absl::StrAppend(&text, " [", reason, "]");
  json_ = Quoted(text);
}

Field::Field(std::string_view key, double value) : key_(key) {
  char buffer[32];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof(buffer), value);
  json_.assign(buffer, end);
  if (!std::isfinite(value)) json_ = Quoted(json_);  // JSON has no infinity.
}

void Init(const Options& options) {
  TheLog().options = options;
  gpr_set_log_function(GrpcLog);
}

void SetObserver(Observer observer) {
  LogState& state = TheLog();
  const MutexLock lock(state.observer_mutex);
  state.observer = std::move(observer);
}

std::array<uint64_t, 4> Counts() {
  std::array<uint64_t, 4> counts{};
  for (size_t i = 0; i < counts.size(); ++i)
    counts[i] = TheLog().counts[i].load(std::memory_order_relaxed);
  return counts;
}

std::string FormatLine(Format format, std::string_view time, Severity severity,
                       std::string_view logger, const char* file, int line,
                       std::string_view message, std::initializer_list<Field> fields) {
  const std::string_view name = kSeverityNames[static_cast<size_t>(severity)];
  std::string text;
  if (format == Format::kJson) {
    absl::StrAppend(&text, "{\"ts\":\"", ToAbsl(time), "\",\"severity\":\"", ToAbsl(name),
                    "\",\"msg\":", Quoted(message), ",\"logger\":", Quoted(logger),
                    ",\"file\":", Quoted(absl::StrCat(ToAbsl(BaseName(file)), ":", line)));
    for (const Field& field : fields)
      absl::StrAppend(&text, ",", Quoted(field.key()), ":", field.json());
    text += '}';
  } else {
    absl::StrAppendFormat(&text, "%s %-7s %s", ToAbsl(time), ToAbsl(name), ToAbsl(message));
    for (const Field& field : fields)
      absl::StrAppend(&text, " ", ToAbsl(field.key()), "=", field.json());
  }
  return text;
}

void Write(Severity severity, const char* file, int line, std::string_view message,
           std::initializer_list<Field> fields) {
  WriteFor(TheLog().options.logger, severity, file, line, message, fields);
}

void WriteFor(std::string_view logger, Severity severity, const char* file, int line,
              std::string_view message, std::initializer_list<Field> fields) {
  LogState& state = TheLog();
  if (severity < state.options.least) return;
  state.counts[static_cast<size_t>(severity)].fetch_add(1, std::memory_order_relaxed);
  const std::string time =
      absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::Now(), absl::UTCTimeZone());
  const std::string text =
      FormatLine(state.options.format, time, severity, logger, file, line, message, fields) + "\n";
  // One call, so that lines of several threads do not mix. POSIX locks the stream for each call,
  // and the unbuffered stderr writes the line at once.
  std::fwrite(text.data(), 1, text.size(), stderr);
  for (const Field& field : fields) {
    if (field.key() != "experiment" || field.json().size() < 2) continue;
    const MutexLock lock(state.observer_mutex);
    if (!state.observer) return;
    const std::string_view name = std::string_view(field.json()).substr(1, field.json().size() - 2);
    state.observer(name,
                   FormatLine(Format::kJson, time, severity, logger, file, line, message, fields));
  }
}

bool Due(std::atomic<int64_t>* next_ns, std::chrono::nanoseconds period) {
  const int64_t now =
      std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  int64_t next = next_ns->load(std::memory_order_relaxed);
  return now >= next &&
         next_ns->compare_exchange_strong(next, now + period.count(), std::memory_order_relaxed);
}

}  // namespace mentor::log
