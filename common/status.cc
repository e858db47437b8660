#include "common/status.h"

#include <array>

#include <absl/strings/cord.h>
#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "google/rpc/error_details.pb.h"

namespace mentor {
namespace {

constexpr char kErrorInfoUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";
constexpr char kRetryInfoUrl[] = "type.googleapis.com/google.rpc.RetryInfo";
constexpr char kBadRequestUrl[] = "type.googleapis.com/google.rpc.BadRequest";

using Code = absl::StatusCode;
struct ReasonRow {
  std::string_view name;
  Code code;
};
// In the order of the enum.
constexpr auto kReasons = std::to_array<ReasonRow>({
    {"UNSPECIFIED", Code::kUnknown},
    {"INVALID_FIELD", Code::kInvalidArgument},
    {"PROTOCOL_VERSION", Code::kFailedPrecondition},
    {"PROTOCOL_VIOLATION", Code::kInvalidArgument},
    {"CATALOGUE_MISMATCH", Code::kFailedPrecondition},
    {"NUMERIC_MISMATCH", Code::kFailedPrecondition},
    {"CREDIT_EXCEEDED", Code::kInvalidArgument},
    {"DRAINING", Code::kUnavailable},
    {"PEER_SILENT", Code::kUnavailable},
    {"QUEUE_FULL", Code::kResourceExhausted},
    {"MESSAGE_TOO_LONG", Code::kResourceExhausted},
    {"UNIT_FAILED", Code::kInternal},
    {"REQUEST_ID_REUSED", Code::kInvalidArgument},
    {"PAGE_TOKEN_MISMATCH", Code::kInvalidArgument},
    {"WATCH_COMPACTED", Code::kOutOfRange},
    {"ETAG_MISMATCH", Code::kAborted},
    {"ILLEGAL_TRANSITION", Code::kFailedPrecondition},
    {"NOT_FOUND", Code::kNotFound},
    {"ALREADY_EXISTS", Code::kAlreadyExists},
    {"DISK_FULL", Code::kResourceExhausted},
    {"DATA_LOSS", Code::kDataLoss},
    {"IN_USE", Code::kFailedPrecondition},
    {"TOO_NEW", Code::kFailedPrecondition},
    {"DEADLINE_PASSED", Code::kDeadlineExceeded},
    {"QUOTA_EXCEEDED", Code::kResourceExhausted},
    {"RATE_LIMITED", Code::kResourceExhausted},
    {"TOO_MANY_STREAMS", Code::kResourceExhausted},
    {"NOT_OWNER", Code::kPermissionDenied},
    {"NOT_LEADER", Code::kUnavailable},
    {"BUNDLE_MISSING", Code::kFailedPrecondition},
    {"BUNDLE_IN_USE", Code::kFailedPrecondition},
    {"DEVICE_FULL", Code::kResourceExhausted},
});
static_assert(kReasons.size() == static_cast<size_t>(Reason::kDeviceFull) + 1);

std::optional<google::rpc::ErrorInfo> InfoOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kErrorInfoUrl);
  google::rpc::ErrorInfo info;
  if (!payload || !info.ParseFromString(std::string(*payload))) return std::nullopt;
  return info;
}

absl::Status WithMessage(const std::string& message, const absl::Status& status) {
  absl::Status other(status.code(), message);
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { other.SetPayload(url, payload); });
  return other;
}

}  // namespace

std::string_view ReasonName(Reason reason) {
  return kReasons[static_cast<size_t>(reason)].name;
}

absl::Status MakeError(Reason reason, std::string_view message,
                       const std::map<std::string, std::string>& metadata) {
  return MakeError(kReasons[static_cast<size_t>(reason)].code, reason, message, metadata);
}

absl::Status MakeError(absl::StatusCode code, Reason reason, std::string_view message,
                       const std::map<std::string, std::string>& metadata) {
  MENTOR_CHECK(code != absl::StatusCode::kOk);
  absl::Status status(code, absl::string_view(message.data(), message.size()));
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(ReasonName(reason)));
  info.set_domain("mentor");
  for (const auto& [key, value] : metadata) (*info.mutable_metadata())[key] = value;
  status.SetPayload(kErrorInfoUrl, absl::Cord(info.SerializeAsString()));
  return status;
}

absl::Status Violations::ToStatus() const {
  if (list_.empty()) return absl::OkStatus();
  std::string text;
  for (const Violation& violation : list_) {
    if (!text.empty()) text += '\n';
    text += violation.field + ": " + violation.description;
  }
  return absl::InvalidArgumentError(text);
}

absl::Status ToStatus(const Violations& violations) {
  if (violations.empty()) return absl::OkStatus();
  const absl::Status plain = violations.ToStatus();
  absl::Status status =
      MakeError(Reason::kInvalidField, {plain.message().data(), plain.message().size()});
  google::rpc::BadRequest details;
  for (const Violation& violation : violations.list()) {
    auto* field = details.add_field_violations();
    field->set_field(violation.field);
    field->set_description(violation.description);
  }
  status.SetPayload(kBadRequestUrl, absl::Cord(details.SerializeAsString()));
  return status;
}

absl::Status BadField(std::string field, std::string description) {
  Violations violations;
  violations.Add(std::move(field), std::move(description));
  return ToStatus(violations);
}

google::rpc::Status StatusToProto(const absl::Status& status) {
  google::rpc::Status proto;
  proto.set_code(static_cast<int>(status.code()));
  proto.set_message(std::string(status.message()));
  // ForEachPayload has no fixed order.
  std::map<std::pair<bool, std::string>, std::string> payloads;
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    const std::string name(url);
    payloads[{name != kErrorInfoUrl, name}] = std::string(payload);
  });
  for (auto& [key, payload] : payloads) {
    google::protobuf::Any& any = *proto.add_details();
    any.set_type_url(key.second);
    any.set_value(std::move(payload));
  }
  return proto;
}

absl::Status StatusFromProto(const google::rpc::Status& proto) {
  if (proto.code() == 0) return absl::OkStatus();
  absl::Status status(static_cast<absl::StatusCode>(proto.code()), proto.message());
  for (const auto& any : proto.details())
    status.SetPayload(any.type_url(), absl::Cord(any.value()));
  return status;
}

absl::Status WithPrefix(std::string_view before, const absl::Status& status) {
  return WithMessage(absl::StrCat(std::string(before), status.message()), status);
}

absl::Status WithSuffix(const absl::Status& status, std::string_view after) {
  return WithMessage(absl::StrCat(status.message(), std::string(after)), status);
}

absl::Status WithRetryDelay(absl::Status status, std::chrono::milliseconds delay) {
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(delay.count() / 1000);
  info.mutable_retry_delay()->set_nanos(static_cast<int>(delay.count() % 1000) * 1'000'000);
  status.SetPayload(kRetryInfoUrl, absl::Cord(info.SerializeAsString()));
  return status;
}

std::optional<std::chrono::milliseconds> RetryDelayOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kRetryInfoUrl);
  google::rpc::RetryInfo info;
  if (!payload || !info.ParseFromString(std::string(*payload))) return std::nullopt;
  return std::chrono::milliseconds(info.retry_delay().seconds() * 1000 +
                                   info.retry_delay().nanos() / 1'000'000);
}

std::string ReasonOf(const absl::Status& status) {
  const auto info = InfoOf(status);
  return info ? info->reason() : "";
}

std::optional<std::string> MetadataOf(const absl::Status& status, std::string_view key) {
  const auto info = InfoOf(status);
  if (!info) return std::nullopt;
  const auto found = info->metadata().find(std::string(key));
  if (found == info->metadata().end()) return std::nullopt;
  return found->second;
}

}  // namespace mentor
