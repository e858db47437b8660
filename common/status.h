// Reasons of errors. Besides the sentence for people, an absl::Status can carry one upper-case word
// and facts for programs. They travel as google.rpc.ErrorInfo and BadRequest
// (common/rpc/grpc_status.h). Pure functions; threads may share.
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

// All reasons. The names are part of the interface: add, never rename.
enum class Reason {
  kUnspecified,
  // INVALID_ARGUMENT. Fields of the request are wrong; BadRequest names each of them, with the
  // remedy.
  kInvalidField,
  // FAILED_PRECONDITION. Peers of different wire versions; run one build everywhere.
  kProtocolVersion,
  // INVALID_ARGUMENT. A peer broke a rule of a stream; report it, with the builds of both ends.
  kProtocolViolation,
  // FAILED_PRECONDITION. Actor and learner know different environments; run one build everywhere.
  kCatalogueMismatch,
  // FAILED_PRECONDITION. Arithmetic differs in its last bits; use one build and one C library on
  // all machines; an experiment of earlier arithmetic begins anew by the command in its activity.
  kNumericMismatch,
  // INVALID_ARGUMENT. A peer sent more than was requested; report it, with the builds of both ends.
  kCreditExceeded,
  // UNAVAILABLE. The process is stopping; try again after the RetryInfo, since another
  // process may serve.
  kDraining,
  // UNAVAILABLE. No heartbeat in time; look at the peer and the network.
  kPeerSilent,
  // RESOURCE_EXHAUSTED. A bounded queue has no room; try again after the RetryInfo.
  kQueueFull,
  // RESOURCE_EXHAUSTED. A message exceeds its limit; make it shorter.
  kMessageTooLong,
  // INTERNAL. A rollout unit failed repeatedly; read the message.
  kUnitFailed,
  // INVALID_ARGUMENT. The request_id belongs to another request; use a new one for each
  // request.
  kRequestIdReused,
  // INVALID_ARGUMENT. The page token belongs to another query; begin with the first page.
  kPageTokenMismatch,
  // OUT_OF_RANGE. The changes after the resume token are no longer kept; list again, since the
  // answer has a new token.
  kWatchCompacted,
  // ABORTED. The resource changed in between; read it again, then repeat.
  kEtagMismatch,
  // FAILED_PRECONDITION. The state does not allow the verb; metadata has both.
  kIllegalTransition,
  // NOT_FOUND. No resource has that name; the list method returns the existing names.
  kNotFound,
  // ALREADY_EXISTS. The name is taken; choose another one, or leave it out.
  kAlreadyExists,
  // RESOURCE_EXHAUSTED. The disk of the state is full; free space, and experiments resume
  // automatically.
  kDiskFull,
  // DATA_LOSS. Stored bytes are damaged or missing; restore the state from a backup, or reindex it.
  kDataLoss,
  // FAILED_PRECONDITION. Another process holds the state; stop it, or use a state of its own.
  kInUse,
  // FAILED_PRECONDITION. A newer program wrote the state; use the newer program.
  kTooNew,
  // DEADLINE_EXCEEDED. The experiment did not end before its own deadline; clone it from its last
  // checkpoint.
  kDeadlinePassed,
  // RESOURCE_EXHAUSTED. The owner has reached a quota; wait, or delete something.
  kQuotaExceeded,
  // RESOURCE_EXHAUSTED. This caller calls too often; try again after the RetryInfo.
  kRateLimited,
  // RESOURCE_EXHAUSTED. The server has reached its limit of streams; try again after the RetryInfo.
  kTooManyStreams,
  // PERMISSION_DENIED. The experiment belongs to another owner; ask that owner or an admin.
  kNotOwner,
  // UNAVAILABLE. This meta-learner stands by, or has lost the lead; ask the leader that metadata
  // names, or the next of the list.
  kNotLeader,
  // FAILED_PRECONDITION. The spec names a bundle that is missing here; push it, then try again.
  kBundleMissing,
  // FAILED_PRECONDITION. An experiment names the bundle; delete the experiment first.
  kBundleInUse,
  // RESOURCE_EXHAUSTED. The memory of a GPU has no room for the work; the message says what to make
  // smaller, and nvidia-smi who uses the GPU.
  kDeviceFull,
};

// "CATALOGUE_MISMATCH".
std::string_view ReasonName(Reason reason);

// Returns a status with reason and facts, which survive transmission. The code is the reason's own,
// unless the caller gives another.
absl::Status MakeError(Reason reason, std::string_view message,
                       const std::map<std::string, std::string>& metadata = {});
absl::Status MakeError(absl::StatusCode code, Reason reason, std::string_view message,
                       const std::map<std::string, std::string>& metadata = {});
// Returns OK without violations; else INVALID_ARGUMENT INVALID_FIELD with every violation as a
// field of BadRequest.
absl::Status ToStatus(const Violations& violations);
// The same with one violation.
absl::Status BadField(std::string field, std::string description);

// Converts message and payloads, which become details with the reason first; and back.
google::rpc::Status StatusToProto(const absl::Status& status);
absl::Status StatusFromProto(const google::rpc::Status& proto);
// Puts `before` in front of the message, or `after` behind it; reason, facts and advice stay.
absl::Status WithPrefix(std::string_view before, const absl::Status& status);
absl::Status WithSuffix(const absl::Status& status, std::string_view after);
// Adds advice when to try again (google.rpc.RetryInfo).
absl::Status WithRetryDelay(absl::Status status, std::chrono::milliseconds delay);
// Returns that advice, if there is any.
std::optional<std::chrono::milliseconds> RetryDelayOf(const absl::Status& status);

// Returns the reason's name; empty if the status has none.
std::string ReasonOf(const absl::Status& status);
std::optional<std::string> MetadataOf(const absl::Status& status, std::string_view key);

}  // namespace mentor
