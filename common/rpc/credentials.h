// Connection security. On loopback both ends prove that they are on this machine ("local"
// credentials). Elsewhere TLS from files is required, unless a flag states that the network
// protects itself. Servers reload the files while they run. Pure functions; threads may share.
#pragma once

#include <memory>
#include <string_view>

#include <absl/status/statusor.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include "common/metrics.h"
#include "common/rpc/certificates.h"
#include "common/rpc/secret_file.h"

namespace mentor::rpc {

// True for "localhost:1", "127.0.0.2:1", "[::1]:1", "unix:..."; false for names, "0.0.0.0:1",
// "[::]:1".
bool IsLoopback(std::string_view address);

struct ServerOptions;  // server.h

// INVALID_ARGUMENT names the wrong file or flag, and the remedy. The returned object reloads the
// files; keep it as long as the server.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    std::string_view address, const ServerOptions& security);

// `token` may be null. Over plain text (allow_insecure) channel credentials cannot carry a token.
// Then `token_apart` is set, and the channel must add the token (channel.cc).
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(
    std::string_view address, const TlsTexts& tls, std::shared_ptr<TokenFile> token,
    bool allow_insecure, bool* token_apart);

}  // namespace mentor::rpc
