// Reasons of errors: an absl::Status of ours can carry one upper-case word and facts for programs,
// beside the sentence for people. They travel as google.rpc.ErrorInfo and BadRequest
// (common/rpc/status.h). Pure functions; threads may share.
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
  // INVALID_ARGUMENT. Fields of the request are wrong; BadRequest names each of them, with the
  // remedy.
  kInvalidField,
  // FAILED_PRECONDITION. Peers of different wire versions; run one build everywhere.
  kProtocolVersion,
  // INVALID_ARGUMENT. A peer broke a rule of a stream; report it, with the builds of both ends.
  kProtocolViolation,
  // FAILED_PRECONDITION. Actor and learner know different environments; run one build everywhere.
  kCatalogueMismatch,
  // FAILED_PRECONDITION. Arithmetic differs in its last bits; use machines of one kind, and one
  // build.
  kNumericMismatch,
  // INVALID_ARGUMENT. A peer sent more than it was asked for; report it, with the builds of both
  // ends.
  kCreditExceeded,
  // UNAVAILABLE. The process is stopping; try again after the RetryInfo, another one may serve.
  kDraining,
  // UNAVAILABLE. No heartbeat in time; look at the peer and the network.
  kPeerSilent,
  // RESOURCE_EXHAUSTED. A bounded queue has no room; try again after the RetryInfo.
  kQueueFull,
  // RESOURCE_EXHAUSTED. A message exceeds its limit; make it shorter.
  kMessageTooLong,
  // INTERNAL. A rollout unit reported an error again and again; read the message.
  kUnitFailed,
  // INVALID_ARGUMENT. The request_id belongs to another request; take a new one for each.
  kRequestIdReused,
  // INVALID_ARGUMENT. The page token belongs to another query; begin with the first page.
  kPageTokenMismatch,
  // OUT_OF_RANGE. The changes after the resume token are not kept any more; list again, the answer
  // has a token.
  kWatchCompacted,
  // ABORTED. The resource changed in between; read it again, then repeat.
  kEtagMismatch,
  // FAILED_PRECONDITION. The state does not allow the verb; metadata has both.
  kIllegalTransition,
  // NOT_FOUND. There is nothing of that name; the list method names what there is.
  kNotFound,
  // ALREADY_EXISTS. The name is taken; choose another one, or leave it out.
  kAlreadyExists,
  // RESOURCE_EXHAUSTED. The disk of the state is full; free space, experiments go on by themselves.
  kDiskFull,
  // DATA_LOSS. Stored bytes are not what was written, or are gone; restore the state from a backup,
  // or reindex it.
  kDataLoss,
  // FAILED_PRECONDITION. Another process holds the state; stop it, or use a state of its own.
  kInUse,
  // FAILED_PRECONDITION. A newer program wrote the state; use the newer program.
  kTooNew,
  // DEADLINE_EXCEEDED. The experiment did not end before its own deadline; clone it from its last
  // checkpoint.
  kDeadlinePassed,
  // RESOURCE_EXHAUSTED. The owner has as much as is allowed; wait, or delete something.
  kQuotaExceeded,
  // RESOURCE_EXHAUSTED. This caller calls too often; try again after the RetryInfo.
  kRateLimited,
  // RESOURCE_EXHAUSTED. The server has as many streams as it takes; try again after the RetryInfo.
  kTooManyStreams,
  // PERMISSION_DENIED. The experiment is another owner's; ask that owner, or somebody with the role
  // admin.
  kNotOwner,
  // UNAVAILABLE. This meta-learner stands by, or has lost the lead; ask the one that metadata names
  // as leader, or the next of the list.
  kNotLeader,
  // FAILED_PRECONDITION. The spec names a bundle that is not here; push it, then try again.
  kBundleMissing,
  // FAILED_PRECONDITION. An experiment names the bundle; delete the experiment first.
  kBundleInUse,
};

// "CATALOGUE_MISMATCH".
std::string_view ReasonName(Reason reason);

// A status with reason and facts, which survive the way over the wire.
absl::Status MakeError(absl::StatusCode code, Reason reason, std::string_view message,
                       const std::map<std::string, std::string>& metadata = {});
// OK when there are none; else INVALID_ARGUMENT INVALID_FIELD with every violation as a field of
// BadRequest.
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
