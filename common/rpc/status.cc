#include "common/rpc/status.h"

#include <map>
#include <string>
#include <utility>

#include <absl/strings/cord.h>

#include "google/rpc/status.pb.h"

namespace mentor::rpc {
namespace {

// HTTP/2 trailers are limited; a peer may drop longer details, and the whole answer with them.
constexpr size_t kDetailsBytesMax = 4096;
constexpr size_t kMessageBytesMax = 2048;

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const auto code = static_cast<grpc::StatusCode>(status.code());  // The numbers are the same by definition.
  std::string message(status.message());
  if (message.size() > kMessageBytesMax) message = message.substr(0, kMessageBytesMax - 3) + "...";
  google::rpc::Status details;
  details.set_code(static_cast<int>(code));
  details.set_message(message.substr(0, 512));
  // Payloads come in any order; the reason is short and goes first, so that it is never the one without room.
  std::map<std::pair<bool, std::string>, std::string> payloads;
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    const std::string name(url);
    payloads[{!name.ends_with("google.rpc.ErrorInfo"), name}] = std::string(payload);
  });
  for (auto& [key, payload] : payloads) {
    google::protobuf::Any any;
    any.set_type_url(key.second);
    any.set_value(std::move(payload));
    if (details.ByteSizeLong() + any.ByteSizeLong() + 8 <= kDetailsBytesMax) *details.add_details() = std::move(any);
  }
  return grpc::Status(code, message, details.details_size() > 0 ? details.SerializeAsString() : "");
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  google::rpc::Status details;
  if (!status.error_details().empty() && details.ParseFromString(status.error_details())) {
    for (const auto& any : details.details()) result.SetPayload(any.type_url(), absl::Cord(any.value()));
  }
  return result;
}

}  // namespace mentor::rpc
