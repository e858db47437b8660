#include "common/rpc/callback_threads.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

namespace mentor::rpc {

void KeepCallbackThreads() {
  // Never destroyed. It has no port, so nobody reaches it; a service with callbacks is what makes it hold the threads.
  static const auto* const keeper = [] {
    grpc::ServerBuilder builder;
    static auto* const service = new grpc::CallbackGenericService;
    builder.RegisterCallbackGenericService(service);
    return builder.BuildAndStart().release();
  }();
  static_cast<void>(keeper);
}

}  // namespace mentor::rpc
