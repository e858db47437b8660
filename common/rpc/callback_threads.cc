#include "common/rpc/callback_threads.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

namespace mentor::rpc {

void KeepCallbackThreads() {
#ifdef MENTOR_TSAN
  // ThreadSanitizer sees the order between a service's constructor and its first call only when a
  // thread starts in between: gRPC's own locks are not instrumented. There the threads come and go
  // with the servers.
  return;
#endif
  // Never destroyed. It has no port, so nobody reaches it; a service with callbacks is what makes
  // it hold the threads.
  static const auto* const keeper = [] {
    grpc::ServerBuilder builder;
    static auto* const service = new grpc::CallbackGenericService;
    builder.RegisterCallbackGenericService(service);
    return builder.BuildAndStart().release();
  }();
  static_cast<void>(keeper);
}

}  // namespace mentor::rpc
