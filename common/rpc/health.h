// The client's side of grpc.health.v1.Health/Check: what answers at an address. Pure functions;
// threads may share.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>
#include <grpcpp/channel.h>

namespace mentor::rpc {

enum class Health { kServing, kNotServing };

// NOT_FOUND for a name that the server does not know, UNAVAILABLE or DEADLINE_EXCEEDED without an
// answer. Blocks.
absl::StatusOr<Health> AskHealth(const std::shared_ptr<grpc::Channel>& channel,
                                 std::string_view service, std::chrono::milliseconds limit);

// Returns which of Mentor's servers answers, by the services that it knows: "mentor-meta-learner",
// "mentor-learner"; empty: neither, or no answer. Blocks for a few seconds at most.
std::string ProgramAt(const std::shared_ptr<grpc::Channel>& channel);

// Explains UNIMPLEMENTED: what answers there, and what to name instead. Blocks for a few seconds.
absl::Status WrongServer(const std::shared_ptr<grpc::Channel>& channel, const std::string& wanted,
                         const std::string& flag, const std::function<std::string()>& address);

}  // namespace mentor::rpc
