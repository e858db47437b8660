// Who may talk to whom: on loopback both ends prove that they are on this machine ("local" credentials); anywhere else
// TLS from files is required. There is no insecure mode. Pure functions; threads may share.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

namespace mentor::rpc {

// Paths of PEM files.
struct TlsFiles {
  // At a server: its certificate and key, required. At a client: its own for mutual TLS, optional.
  std::string certificate = {};
  std::string key = {};
  // At a server: the authority of client certificates; set, it demands one from every client (mutual TLS).
  // At a client: the authority of the server's certificate, required.
  std::string authority = {};

  bool empty() const { return certificate.empty() && key.empty() && authority.empty(); }
};

// True for "localhost:1", "127.0.0.2:1", "[::1]:1", "unix:..."; false for names, "0.0.0.0:1", "[::]:1".
bool IsLoopback(std::string_view address);

// INVALID_ARGUMENT names the file or flag that is wrong, and the remedy.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(std::string_view address,
                                                                               const TlsFiles& tls);
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(std::string_view address,
                                                                                 const TlsFiles& tls);

}  // namespace mentor::rpc
