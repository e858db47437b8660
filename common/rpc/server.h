// A gRPC server with this project's settings: credentials, limits, keepalive, health, reflection,
// shutdown with a deadline. Owned by main or a test. Thread-safe after Start.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>

#include "common/rpc/acceptor.h"
#include "common/rpc/credentials.h"

namespace mentor::rpc {

// Settings that server and channel must agree on (docs/architecture.md#transport).
inline constexpr int kMessageBytesMax = 8 << 20;
inline constexpr int kKeepaliveTimeMs = 10'000;
inline constexpr int kKeepaliveTimeoutMs = 5'000;
inline constexpr int kMetadataBytesMax = 64 << 10;
// Idle connections without calls are closed after this time.
inline constexpr int kIdleConnectionMs = 60'000;
// Minimum interval between a client's pings. Less than kKeepaliveTimeMs, since a client that pings
// more often than a server allows is disconnected with too_many_pings.
inline constexpr int kPingIntervalMinMs = 5'000;

struct ServerOptions {
  // HOST:PORT; port 0 chooses a free one. Empty: no port, in-process channels only.
  std::string address = "127.0.0.1:0";
  TlsFiles tls = {};
  int streams_per_connection_max = 64;
  bool reflection = true;
  // File of tokens (auth.h); empty: no tokens required.
  std::string tokens = {};
  // File of roles by common names of certificates.
  std::string roles = {};
  // False: tls.authority is for this process's own connections, and clients need no certificate.
  bool client_certificates = true;
  // Allow serving beyond loopback without TLS, or without credentials of callers.
  bool allow_insecure = false;
  Metrics* metrics = nullptr;  // May be null.
  // Interval between checks of the files.
  std::chrono::milliseconds reload_period{1000};
  // Maximum connections at once (acceptor.h).
  int connections_max = 4096;
  // Memory that gRPC may hold for all connections together: bytes to receive and to send.
  size_t memory_bytes_max = size_t{512} << 20;
  // Names of services whose health is that of "readiness".
  std::vector<std::string> health_names = {};
};

class Server {
 public:
  // Returns the error that Start would return now for address or credentials, without serving. For
  // callers that must create something first and would leave it behind.
  static absl::Status Check(ServerOptions options);
  // The services must outlive the server. Health "readiness" and "" are NOT_SERVING until SetReady;
  // "liveness" is SERVING.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       const std::vector<grpc::Service*>& services);
  // The admin port: only health, in plain text, on any address. Probes of an orchestrator have no
  // credentials, and the health of a process is not secret.
  static absl::StatusOr<std::unique_ptr<Server>> StartAdmin(const std::string& address,
                                                            std::vector<std::string> health_names);
  ~Server();  // Shuts down at once unless Shutdown was called.

  // HOST:PORT with the actual port; empty without a port.
  const std::string& address() const { return address_; }
  int port() const { return port_; }

  // Also sets "available", which SetAvailable may change later.
  void SetReady(bool ready);
  // Sets health "available": the process can do its part, which may be to stand by.
  void SetAvailable(bool available) { SetHealth({"available"}, available); }
  void SetLive(bool live) { SetHealth({"liveness"}, live); }
  // Returns a channel for clients in this process; needs no port.
  std::shared_ptr<grpc::Channel> InProcessChannel();

  // Sets not ready, refuses new calls, and cancels calls that run past the deadline. Waits for the
  // end. Idempotent. Streams never end by themselves: their owners must close them first.
  void Shutdown(std::chrono::milliseconds deadline);

 private:
  Server() = default;
  void SetHealth(const std::vector<std::string>& names, bool serving);
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      const ServerOptions& options, std::shared_ptr<grpc::ServerCredentials> credentials,
      const std::vector<grpc::Service*>& services);

  // Fixed after Start.
  std::string address_;
  int port_ = 0;
  std::vector<std::string> health_names_;
  std::shared_ptr<grpc::ServerCredentials> credentials_;  // They reload their files.
  grpc::CallbackGenericService nothing_;                  // Answers UNIMPLEMENTED.
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Acceptor> acceptor_;
};

}  // namespace mentor::rpc
