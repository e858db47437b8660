#include "common/rpc/server.h"

#include <mutex>

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>

#include "common/check.h"
#include "common/rpc/callback_threads.h"

namespace mentor::rpc {

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      const std::vector<grpc::Service*>& services) {
  static std::once_flag plugins;
  std::call_once(plugins, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
  KeepCallbackThreads();
  std::unique_ptr<Server> server(new Server);
  grpc::ServerBuilder builder;
  int port = 0;
  if (!options.address.empty()) {
    if (options.address.rfind(':') == std::string::npos) {
      return absl::InvalidArgumentError("address '" + options.address + "': expected HOST:PORT");
    }
    MENTOR_ASSIGN_OR_RETURN(auto credentials, MakeServerCredentials(options.address, options.tls));
    builder.AddListeningPort(options.address, std::move(credentials), &port);
  }
  for (grpc::Service* service : services) builder.RegisterService(service);
  builder.SetMaxReceiveMessageSize(kMessageBytesMax);
  builder.SetMaxSendMessageSize(kMessageBytesMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.streams_per_connection_max);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kPingIntervalMinMs);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
  // Two processes that listen on one port would share its connections silently.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || (!options.address.empty() && port == 0)) {
    return absl::UnavailableError("cannot listen on '" + options.address +
                                  "': the address is taken or not of this machine; choose another one");
  }
  server->port_ = port;
  if (!options.address.empty()) {
    server->address_ = options.address.substr(0, options.address.rfind(':') + 1) + std::to_string(port);
  }
  server->SetReady(false);
  server->SetLive(true);
  return server;
}

Server::~Server() { Shutdown(std::chrono::milliseconds(0)); }

void Server::SetReady(bool ready) {
  if (grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService()) {
    health->SetServingStatus("", ready);
    health->SetServingStatus("readiness", ready);
  }
}

void Server::SetLive(bool live) {
  if (grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService()) {
    health->SetServingStatus("liveness", live);
  }
}

std::shared_ptr<grpc::Channel> Server::InProcessChannel() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetMaxSendMessageSize(kMessageBytesMax);
  return server_->InProcessChannel(arguments);
}

void Server::Shutdown(std::chrono::milliseconds deadline) {
  if (server_ == nullptr) return;
  SetReady(false);
  const gpr_timespec end =
      gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(deadline.count(), GPR_TIMESPAN));
  server_->Shutdown(end);
  server_->Wait();
}

}  // namespace mentor::rpc
