#include "common/rpc/grpc_status.h"

#include <string>
#include <utility>

#include "common/status.h"

namespace mentor::rpc {
namespace {

// HTTP/2 trailers are limited. A peer may drop longer details, and the whole answer with them.
constexpr size_t kDetailsBytesMax = 4096;
constexpr size_t kStatusBytesMax = 2048;

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const auto code =
      static_cast<grpc::StatusCode>(status.code());  // The numbers are equal by definition.
  std::string message(status.message());
  if (message.size() > kStatusBytesMax) {
    message.resize(kStatusBytesMax - 3);
    message += "...";
  }
  google::rpc::Status all = StatusToProto(status), details;
  details.set_code(static_cast<int>(code));
  details.set_message(message.substr(0, 512));
  // The reason is short and comes first, so it always fits.
  for (auto& any : *all.mutable_details()) {
    if (details.ByteSizeLong() + any.ByteSizeLong() + 8 <= kDetailsBytesMax)
      *details.add_details() = std::move(any);
  }
  return grpc::Status(code, message, details.details_size() > 0 ? details.SerializeAsString() : "");
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) details.Clear();
  details.set_code(static_cast<int>(status.error_code()));
  details.set_message(status.error_message());
  return StatusFromProto(details);
}

}  // namespace mentor::rpc
