// Reasons of errors: an absl::Status of ours can carry one upper-case word and facts for programs, beside the sentence for
// people. They travel as google.rpc.ErrorInfo and BadRequest (common/rpc/status.h). Pure functions; threads may share.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <absl/status/status.h>

#include "common/violations.h"
#include "google/rpc/status.pb.h"

namespace mentor {

// Every reason there is. The names are part of the interface: add, never rename.
enum class Reason {
  kUnspecified,
  kInvalidField,          // INVALID_ARGUMENT with field violations.
  kProtocolVersion,       // Peers of different wire versions.
  kProtocolViolation,     // A peer broke a rule of a stream.
  kCatalogueMismatch,     // Actor and learner know different environments.
  kNumericMismatch,       // Actor and learner differ in the last bits.
  kCreditExceeded,        // A peer sent more than it was asked for.
  kDraining,              // The process is stopping; another one may serve.
  kPeerSilent,            // No heartbeat in time.
  kQueueFull,             // A bounded queue has no room.
  kMessageTooLong,        // A message exceeds its limit.
  kUnitFailed,            // A rollout unit reported an error again and again.
  kRequestIdReused,       // Same request_id, other request.
  kPageTokenMismatch,     // The page token belongs to another query.
  kWatchCompacted,        // The resume token is too old: list again.
  kEtagMismatch,          // The resource changed in between.
  kIllegalTransition,     // The state does not allow the verb.
  kNotFound,
  kAlreadyExists,
  kDiskFull,
  kDataLoss,              // Stored bytes are not what was written.
  kInUse,                 // Another process holds the folder.
  kTooNew,                // A newer program wrote it.
  kDeadlinePassed,        // The experiment's own deadline.
  kQuotaExceeded,         // The owner has as much as is allowed.
  kRateLimited,           // This caller calls too often.
  kTooManyStreams,        // The server has as many streams as it takes.
};

// "CATALOGUE_MISMATCH".
std::string_view ReasonName(Reason reason);

// A status with reason and facts, which survive the way over the wire.
absl::Status MakeError(absl::StatusCode code, Reason reason, std::string_view message,
                       const std::map<std::string, std::string>& metadata = {});
// OK when there are none; else INVALID_ARGUMENT INVALID_FIELD with every violation as a field of BadRequest.
absl::Status ToStatus(const Violations& violations);

// With the message and every payload as a detail, the reason first; and back.
google::rpc::Status StatusToProto(const absl::Status& status);
absl::Status StatusFromProto(const google::rpc::Status& proto);
// The same status with advice when to try again (google.rpc.RetryInfo).
absl::Status WithRetryDelay(absl::Status status, std::chrono::milliseconds delay);
// That advice, if there is one.
std::optional<std::chrono::milliseconds> RetryDelayOf(const absl::Status& status);

// The reason's name; empty when the status has none.
std::string ReasonOf(const absl::Status& status);
// A fact by its key.
std::optional<std::string> MetadataOf(const absl::Status& status, std::string_view key);

}  // namespace mentor
