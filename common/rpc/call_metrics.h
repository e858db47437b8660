// Counts the calls of a server: mentor_grpc_server_started_total, _handled_total, _handling_seconds
// and _streams, by method. The label says "Service/Method" for our own services and the full name
// for others (health, reflection); what no linked proto knows is "other", so labels are bounded. A
// call that was refused for its credentials never gets here; mentor_auth_failures_total has those.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <grpcpp/support/server_interceptor.h>

#include "common/metrics.h"
#include "common/rpc/stream.h"

namespace mentor::rpc {

// For ServerBuilder::experimental().SetInterceptorCreators. The metrics outlive the server.
// `services` are full names ("mentor.v1.RolloutService") whose methods are shown from the start,
// with 0. Thread-safe, as gRPC wants it.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallMetrics(
    Metrics* metrics, const std::vector<std::string>& services);

// mentor_grpc_messages_total and _message_bytes_total of a method ("RolloutService/Work"), for the
// options of its streams. Without a round trip: not every stream shows it.
StreamMetrics MakeStreamMetrics(Metrics* metrics, const std::string& method);

}  // namespace mentor::rpc
