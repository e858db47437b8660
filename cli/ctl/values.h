// Values that users type and read: names, durations, times, sizes, labels. Pure functions, except
// for those that take the current time; thread-safe. Errors are INVALID_ARGUMENT, name the flag and
// give a remedy.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "mentor/v1/experiment.pb.h"
#include "mentor/v1/experiment_service.pb.h"

namespace mentor::ctl {

// ---- Names of resources.

// Returns "experiments/first" for "first" or "experiments/first".
std::string FullName(std::string_view name);
// Returns "first" for "experiments/first"; other names stay unchanged.
std::string ShortName(std::string_view name);
// Returns "experiments/first/checkpoints/00000042" for the same name or for "first/checkpoints/42".
absl::StatusOr<std::string> FullCheckpointName(std::string_view name);
// Shortens "actors/" and a UUID to "actors/25e027aa" for people; other names stay unchanged.
std::string ShortPeer(std::string_view name);
bool IsLearner(const v1::Peer& peer);
// True if actors work for this learner.
bool HasActors(const std::vector<v1::Peer>& peers, const v1::Peer& learner);
std::string ThreadsText(const v1::Peer& peer);    // "8"; "-" for a learner.
std::string WorkText(const v1::Peer& peer);       // "16 units" or "1/2 shards"
std::string RoundTripText(const v1::Peer& peer);  // "1.5 ms"; "-" when unknown.
// Returns the last part of a resource name.
std::string LastPart(std::string_view name);

// Returns all states: "QUEUED, RUNNING, ...".
std::string StateNames(std::string_view separator);
// Parses "running" or "STATE_RUNNING", ignoring case.
absl::StatusOr<v1::Experiment::State> ParseState(std::string_view flag, std::string_view text);
absl::StatusOr<v1::Priority> ParsePriority(std::string_view flag, std::string_view text);

// Returns the error message of a FAILED experiment, or why it is paused; else empty.
std::string Trouble(const v1::Experiment& experiment);

// Describes the event of a log line: "outer updates are done: 12 of 40, meta_return 3.1". Empty for
// lines that are neither events nor warnings.
std::string EventText(const v1::WatchLogsResponse& line);
// Returns "learners" for "meta-training: waiting for learners"; empty for an activity without
// waiting.
std::string WaitedFor(std::string_view activity);

// ---- What users type.

// Parses "90s", "30m", "2h", "1h30m" or "7d".
absl::StatusOr<absl::Duration> ParseSpan(std::string_view flag, std::string_view text);
// Parses a span from now, or an RFC 3339 time such as 2026-03-01T08:00:00Z.
absl::StatusOr<absl::Time> ParseWhen(std::string_view flag, std::string_view text, absl::Time now);
// Parses "key=value"; the value may be empty.
absl::StatusOr<std::pair<std::string, std::string>> ParseLabel(std::string_view flag,
                                                               std::string_view text);

google::protobuf::Timestamp ToProto(absl::Time time);
google::protobuf::Duration ToProto(absl::Duration span);
absl::Time FromProto(const google::protobuf::Timestamp& time);
absl::Duration FromProto(const google::protobuf::Duration& span);

// ---- What users read.

std::string Ago(absl::Time time, absl::Time now);  // "12s ago", "3h ago"; "in 2h" for the future.
std::string Span(double seconds);                  // "45 s", "2:31", "26:05:00"; "-" when negative.
std::string Count(double value);                   // "7", "41.2k", "3.1M"
std::string Bytes(uint64_t bytes);                 // "812 B", "4.1 MiB"
std::string Number(double value);                  // Shortest text that parses back to `value`.
std::string LocalTime(absl::Time time);            // "2026-03-01 08:00:00", local.

}  // namespace mentor::ctl
