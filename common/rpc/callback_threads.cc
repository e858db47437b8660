#include "common/rpc/callback_threads.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

namespace mentor::rpc {

void KeepCallbackThreads() {
#ifdef MENTOR_TSAN
  // ThreadSanitizer does not see gRPC's own locks, which are not instrumented. It sees the order
  // between a service's constructor and its first call only if a thread starts in between. In that
  // build the threads therefore start and end with the servers.
  return;
#endif
  // Never destroyed. The server has no port, so it cannot be reached; its callback service makes it
  // keep the threads.
  static const auto* const keeper = [] {
    grpc::ServerBuilder builder;
    static auto* const service = new grpc::CallbackGenericService;
    builder.RegisterCallbackGenericService(service);
    return builder.BuildAndStart().release();
  }();
  static_cast<void>(keeper);
}

}  // namespace mentor::rpc
