// Counts the calls of a server: mentor_grpc_server_started_total, _handled_total, _handling_seconds
// and _streams, by method. The label is "Service/Method" for Mentor's services and the full name
// for others (health, reflection). Methods in no linked proto are labelled "other", so labels are
// bounded. Calls refused for their credentials are not counted here but in
// mentor_auth_failures_total.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <grpcpp/support/server_interceptor.h>

#include "common/metrics.h"
#include "common/rpc/stream.h"

namespace mentor::rpc {

// For ServerBuilder::experimental().SetInterceptorCreators. The metrics must outlive the server.
// `services` are full names ("mentor.v1.RolloutService") whose methods are exported with 0 from the
// start. Thread-safe, as gRPC requires.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallMetrics(
    Metrics* metrics, const std::vector<std::string>& services);

// Returns mentor_grpc_messages_total and _message_bytes_total of a method ("RolloutService/Work"),
// for the options of its streams. The round trip is not set, since not every stream exports it.
StreamMetrics MakeStreamMetrics(Metrics* metrics, const std::string& method);

}  // namespace mentor::rpc
