#include "common/rpc/server.h"

#include <mutex>
#include <utility>

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>

#include "common/check.h"
#include "common/rpc/address.h"
#include "common/rpc/call_metrics.h"
#include "common/rpc/callback_threads.h"

namespace mentor::rpc {

namespace {

// Removes reflection, which gRPC's library adds to every server of a program that links it.
class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins,
                  [](const auto& plugin) { return plugin->name() == "proto_server_reflection"; });
  }
};

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> CredentialsOf(
    const ServerOptions& options) {
  MENTOR_ASSIGN_OR_RETURN(const std::string address,
                          ParseAddress(options.address, AddressOf::kServer));
  return MakeServerCredentials(address, options);
}

}  // namespace

absl::Status Server::Check(ServerOptions options) {
  if (options.address.empty()) return absl::OkStatus();
  options.metrics = nullptr;  // Only Start may count.
  MENTOR_RETURN_IF_ERROR(CredentialsOf(options).status());
  return Acceptor::Listen({.address = options.address}).status();
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      const std::vector<grpc::Service*>& services) {
  std::shared_ptr<grpc::ServerCredentials> credentials;
  if (!options.address.empty()) {
    MENTOR_ASSIGN_OR_RETURN(credentials, CredentialsOf(options));
  }
  return Start(options, std::move(credentials), services);
}

absl::StatusOr<std::unique_ptr<Server>> Server::StartAdmin(const std::string& address,
                                                           std::vector<std::string> health_names) {
  return Start({.address = address,
                .streams_per_connection_max = 16,
                .reflection = false,
                .connections_max = 128,
                .memory_bytes_max = 16 << 20,
                .health_names = std::move(health_names)},
               grpc::InsecureServerCredentials(), {});
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(
    const ServerOptions& options, std::shared_ptr<grpc::ServerCredentials> credentials,
    const std::vector<grpc::Service*>& services) {
  static std::once_flag health;
  std::call_once(health, [] {
    grpc::EnableDefaultHealthCheckService(true);
    // Links the plugin; calling it again does no harm.
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
  KeepCallbackThreads();
  std::unique_ptr<Server> server(new Server);
  server->health_names_ = options.health_names;
  server->credentials_ = credentials;
  grpc::ServerBuilder builder;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> handle;
  std::string address;
  if (credentials != nullptr) {
    MENTOR_ASSIGN_OR_RETURN(address, ParseAddress(options.address, AddressOf::kServer));
    MENTOR_ASSIGN_OR_RETURN(server->acceptor_,
                            Acceptor::Listen({.address = address,
                                              .connections_max = options.connections_max,
                                              .metrics = options.metrics}));
    handle = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        std::move(credentials));
  }
  if (!options.reflection) builder.SetOption(std::make_unique<WithoutReflection>());
  // A server with health only needs this service to keep its queues running.
  if (services.empty()) builder.RegisterCallbackGenericService(&server->nothing_);
  if (options.metrics != nullptr) {
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> creators;
    creators.push_back(MakeCallMetrics(options.metrics, options.health_names));
    builder.experimental().SetInterceptorCreators(std::move(creators));
  }
  grpc::ResourceQuota quota("mentor");
  quota.Resize(options.memory_bytes_max);
  builder.SetResourceQuota(quota);
  for (grpc::Service* service : services) builder.RegisterService(service);
  // Refuses compressed messages, which this project never sends. A compressed message may expand a
  // thousandfold, and gRPC 1.51 expands a message before it checks the length. Refused calls are
  // not expanded.
  for (const auto algorithm : {GRPC_COMPRESS_DEFLATE, GRPC_COMPRESS_GZIP})
    builder.SetCompressionAlgorithmSupportStatus(algorithm, false);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  builder.SetMaxReceiveMessageSize(kMessageBytesMax);
  builder.SetMaxSendMessageSize(kMessageBytesMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.streams_per_connection_max);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kPingIntervalMinMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytesMax);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdleConnectionMs);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr) return absl::InternalError("gRPC cannot start a server");
  if (server->acceptor_ != nullptr) {
    server->port_ = server->acceptor_->port();
    server->address_ = address.substr(0, address.rfind(':') + 1) + std::to_string(server->port_);
  }
  server->SetReady(false);
  server->SetLive(true);
  // Strangers can connect from here on.
  if (server->acceptor_ != nullptr) server->acceptor_->Start(std::move(handle));
  return server;
}

Server::~Server() {
  Shutdown(std::chrono::milliseconds(0));
}

void Server::SetReady(bool ready) {
  SetHealth({"", "readiness", "available"}, ready);
  SetHealth(health_names_, ready);
}

void Server::SetHealth(const std::vector<std::string>& names, bool serving) {
  grpc::HealthCheckServiceInterface* const health = server_->GetHealthCheckService();
  if (health == nullptr) return;
  for (const std::string& name : names) health->SetServingStatus(name, serving);
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
  if (acceptor_ != nullptr) acceptor_->Stop();
  const gpr_timespec end = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                        gpr_time_from_millis(deadline.count(), GPR_TIMESPAN));
  server_->Shutdown(end);
  server_->Wait();
}

}  // namespace mentor::rpc
