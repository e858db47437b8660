// Converts between absl::Status and grpc::Status; the only place that does. Payloads
// (common/status.h) travel as google.rpc.Status in the details. Pure functions; threads may share.
#pragma once

#include <absl/status/status.h>
#include <grpcpp/support/status.h>

namespace mentor::rpc {

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace mentor::rpc
