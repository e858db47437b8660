#include "common/rpc/health.h"

#include <future>
#include <vector>

#include <absl/strings/str_format.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>

#include "common/rpc/callback_threads.h"
#include "common/rpc/grpc_status.h"

namespace mentor::rpc {

// Encodes the two messages by hand; each has one field. Field 1 of the request is the name. Field 1
// of the answer is the state: 1 SERVING, 2 NOT_SERVING. Debian's grpc-proto has the definitions.
absl::StatusOr<Health> AskHealth(const std::shared_ptr<grpc::Channel>& channel,
                                 std::string_view service, std::chrono::milliseconds limit) {
  if (service.size() > 127) return absl::InvalidArgumentError("the service's name is too long");
  KeepCallbackThreads();
  std::string bytes;
  if (!service.empty()) {
    bytes = std::string("\x0a") + static_cast<char>(service.size()) + std::string(service);
  }
  grpc::Slice slice(bytes);
  grpc::ByteBuffer request(&slice, 1), response;
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + limit);
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", {}, &request, &response,
                 [&](grpc::Status status) { done.set_value(std::move(status)); });
  const grpc::Status status = done.get_future().get();
  if (!status.ok()) return FromGrpc(status);
  std::vector<grpc::Slice> slices;
  if (!response.Dump(&slices).ok()) return absl::InternalError("the health answer is broken");
  std::string answer;
  for (const auto& part : slices) {
    answer.append(reinterpret_cast<const char*>(part.begin()), part.size());
  }
  return answer == std::string("\x08\x01") ? Health::kServing : Health::kNotServing;
}

std::string ProgramAt(const std::shared_ptr<grpc::Channel>& channel) {
  constexpr std::chrono::seconds kLimit{2};
  if (AskHealth(channel, "mentor.v1.RolloutService", kLimit).ok()) return "mentor-learner";
  if (AskHealth(channel, "mentor.v1.ExperimentService", kLimit).ok()) return "mentor-meta-learner";
  return "";
}

absl::Status WrongServer(const std::shared_ptr<grpc::Channel>& channel, const std::string& wanted,
                         const std::string& flag, const std::function<std::string()>& address) {
  const std::string program = ProgramAt(channel);
  return absl::FailedPreconditionError(absl::StrFormat(
      "%s answers at %s, and not a mentor-%s: name the address of a mentor-%s (its --listen) with "
      "%s",
      program.empty() ? "another program, or another version," : "a " + program,
      address ? address() : "this address", wanted, wanted, flag));
}

}  // namespace mentor::rpc
