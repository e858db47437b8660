#include "common/rpc/credentials.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>
#include <utility>

#include <grpc/grpc_security.h>
#include <grpcpp/security/auth_metadata_processor.h>

#include "common/check.h"
#include "common/log.h"
#include "common/mutex.h"
#include "common/rpc/auth.h"
#include "common/rpc/server.h"

namespace mentor::rpc {
namespace {

constexpr char kHowTo[] =
    "make certificates with: mentorctl certs init DIR, and name them with --tls_cert, --tls_key "
    "and --tls_ca (docs/security.md); or give --allow_insecure where the network protects itself";

// State that gRPC's core keeps as long as a server or its connections live.
struct ServerState {
  std::shared_ptr<TlsReloader> tls;        // Null without TLS.
  std::shared_ptr<AccessControl> control;  // Null if every call is admitted.
  std::atomic<uint64_t> version_in_force{0};

  void Reload() {
    if (tls) tls->Reload();
    if (control) control->Reload();
  }
};

// Called for each handshake: returns the current pair if it has changed.
grpc_ssl_certificate_config_reload_status FetchCertificates(
    void* user_data, grpc_ssl_server_certificate_config** config) {
  auto* const state = static_cast<ServerState*>(user_data);
  uint64_t version = 0;
  const auto texts = state->tls->texts(&version);
  if (state->version_in_force.exchange(version) == version) {
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  }
  grpc_ssl_pem_key_cert_pair pair = {.private_key = texts->key.Reveal().c_str(),
                                     .cert_chain = texts->certificate.c_str()};
  // gRPC 1.51 requires some roots even if it asks for no client certificate.
  const std::string& roots = texts->authority.empty() ? texts->certificate : texts->authority;
  *config = grpc_ssl_server_certificate_config_create(roots.c_str(), &pair, 1);
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

std::string_view View(const grpc_slice& slice) {
  return {reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)), GRPC_SLICE_LENGTH(slice)};
}

// Returns the only value of a property; empty if there are none or several.
std::string PropertyOf(const grpc_auth_context* context, const char* name) {
  auto iterator = grpc_auth_context_find_properties_by_name(context, name);
  const grpc_auth_property* const first = grpc_auth_property_iterator_next(&iterator);
  if (first == nullptr || grpc_auth_property_iterator_next(&iterator) != nullptr) return "";
  return std::string(first->value, first->value_length);
}

// Checks every call before its service, or gRPC's own "no such method", sees it. The authorization
// stays in the metadata, for CallerOf.
void CheckCall(void* user_data, grpc_auth_context* context, const grpc_metadata* metadata,
               size_t count, grpc_process_auth_metadata_done_cb done, void* done_data) {
  const auto& state = *static_cast<std::shared_ptr<ServerState>*>(user_data);
  std::string_view path;
  std::vector<std::string_view> authorization;
  for (size_t i = 0; i < count; ++i) {
    const std::string_view key = View(metadata[i].key);
    if (key == ":path") path = View(metadata[i].value);
    if (key == "authorization") authorization.push_back(View(metadata[i].value));
  }
  const auto decision =
      state->control->Check(path, authorization,
                            {.common_name = PropertyOf(context, GRPC_X509_CN_PROPERTY_NAME),
                             .spiffe_id = PropertyOf(context, GRPC_PEER_SPIFFE_ID_PROPERTY_NAME)});
  done(done_data, nullptr, 0, nullptr, 0, static_cast<grpc_status_code>(decision.code),
       decision.message.empty() ? nullptr : decision.message.c_str());
}

// Uses core's credentials, since the C++ ones lack two features: certificates that change without
// polling files, and token checks over plain text.
class Credentials final : public grpc::ServerCredentials {
 public:
  Credentials(grpc_server_credentials* core, std::shared_ptr<ServerState> state,
              std::chrono::milliseconds reload_period)
      : core_(core), state_(std::move(state)) {
    if (!state_->tls && !state_->control) return;  // Nothing to check or to reload.
    // Core calls destroy after its last use of the state.
    auto* const held = new std::shared_ptr<ServerState>(state_);
    const auto destroy = [](void* state) {
      delete static_cast<std::shared_ptr<ServerState>*>(state);
    };
    const auto pass = [](void*, grpc_auth_context*, const grpc_metadata*, size_t,
                         grpc_process_auth_metadata_done_cb done, void* done_data) {
      done(done_data, nullptr, 0, nullptr, 0, GRPC_STATUS_OK, nullptr);
    };
    grpc_server_credentials_set_auth_metadata_processor(
        core_, {.process = state_->control ? CheckCall : +pass, .destroy = destroy, .state = held});
    // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks): core calls destroy.
    reloader_ = std::jthread([this, reload_period](std::stop_token stop) {
      while (!StopRequestedWithin(stop, reload_period)) state_->Reload();
    });
  }
  ~Credentials() override {
    reloader_ = {};  // Stops and waits.
    grpc_server_credentials_release(core_);
  }
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {
    MENTOR_CHECK(false);  // These credentials have their own processor.
  }

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), core_);
  }

  grpc_server_credentials* const core_;
  const std::shared_ptr<ServerState> state_;
  std::jthread reloader_;
};

absl::Status CheckFlags(std::string_view address, const ServerOptions& security) {
  const bool loopback = IsLoopback(address);
  const bool tls = !security.tls.certificate.empty() || !security.tls.key.empty();
  const bool mutual = tls && security.client_certificates && !security.tls.authority.empty();
  if (!tls && !security.tls.authority.empty() && security.client_certificates) {
    return absl::InvalidArgumentError(
        "--tls_cert and --tls_key are missing: --tls_ca alone does not give a server TLS");
  }
  if (!security.roles.empty() && !mutual) {
    return absl::InvalidArgumentError(
        "--roles gives roles to client certificates, but no client is asked for one: name their "
        "authority with --tls_ca");
  }
  if (loopback || security.allow_insecure) return absl::OkStatus();
  if (!tls) {
    return absl::InvalidArgumentError(
        "refusing to serve '" + std::string(address) +
        "' without TLS, because it is not a loopback address: " + kHowTo);
  }
  if (!mutual && security.tokens.empty()) {
    return absl::InvalidArgumentError(
        "refusing to serve '" + std::string(address) +
        "' to everyone who can reach it: ask for client certificates with --tls_ca or for tokens "
        "with --tokens (docs/security.md); or give --allow_insecure where the network protects "
        "itself");
  }
  return absl::OkStatus();
}

class TokenPlugin final : public grpc::MetadataCredentialsPlugin {
 public:
  explicit TokenPlugin(std::shared_ptr<TokenFile> token) : token_(std::move(token)) {}
  bool IsBlocking() const override { return false; }
  grpc::Status GetMetadata(grpc::string_ref, grpc::string_ref, const grpc::AuthContext&,
                           std::multimap<grpc::string, grpc::string>* metadata) override {
    metadata->emplace("authorization", "Bearer " + token_->Get().Reveal());
    return grpc::Status::OK;
  }
  const char* GetType() const override { return "token"; }
  std::string DebugString() override { return std::string(Secret::Redacted()); }

 private:
  const std::shared_ptr<TokenFile> token_;
};

}  // namespace

bool IsLoopback(std::string_view address) {
  if (address.starts_with("unix:") || address.starts_with("unix-abstract:")) return true;
  for (const std::string_view scheme : {"dns:///", "dns:", "ipv4:", "ipv6:"}) {
    if (address.starts_with(scheme)) {
      address.remove_prefix(scheme.size());
      break;
    }
  }
  std::string_view host = address.substr(0, address.rfind(':'));
  if (address.starts_with('['))
    host = address.substr(1, std::min(address.find(']'), address.size()) - 1);
  if (host == "localhost" || host == "::1") return true;
  // 127.0.0.0/8, digits and dots only, so that a name like 127.example.org does not pass.
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == host.npos;
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    std::string_view address, const ServerOptions& security) {
  MENTOR_RETURN_IF_ERROR(CheckFlags(address, security));
  auto state = std::make_shared<ServerState>();
  const bool tls = !security.tls.certificate.empty() || !security.tls.key.empty();
  bool mutual = false;
  if (tls) {
    TlsFiles files = security.tls;
    if (!security.client_certificates) files.authority.clear();
    mutual = !files.authority.empty();
    MENTOR_ASSIGN_OR_RETURN(state->tls, TlsReloader::Make(files, security.metrics));
  }
  if (mutual || !security.tokens.empty()) {
    MENTOR_ASSIGN_OR_RETURN(state->control, AccessControl::Make({.tokens = security.tokens,
                                                                 .roles = security.roles,
                                                                 .certificates = mutual,
                                                                 .metrics = security.metrics}));
  }
  const std::string where(address);
  grpc_server_credentials* core = nullptr;
  if (tls) {
    core = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            mutual ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                   : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
            FetchCertificates, state.get()));
  } else if (IsLoopback(address)) {
    core = grpc_local_server_credentials_create(LOCAL_TCP);
  } else {
    core = grpc_insecure_server_credentials_create();
    MENTOR_LOG(kWarning,
               security.tokens.empty()
                   ? "plain text without credentials: everyone who can reach this address may do "
                     "everything"
                   : "plain text: everyone on the way can read the traffic and its tokens",
               {{"address", where}});
  }
  if (tls && !mutual && security.tokens.empty() && !IsLoopback(address)) {
    MENTOR_LOG(
        kWarning,
        "no client certificates, no tokens: everyone who can reach this address may do everything",
        {{"address", where}});
  }
  MENTOR_CHECK(core != nullptr);
  return std::make_shared<Credentials>(core, std::move(state), security.reload_period);
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(
    std::string_view address, const TlsTexts& tls, std::shared_ptr<TokenFile> token,
    bool allow_insecure, bool* token_apart) {
  *token_apart = false;
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if (tls.authority.empty() && !tls.certificate.empty()) {
    return absl::InvalidArgumentError(
        "--tls_ca is missing: the authority that signed the server's certificate");
  }
  if (!tls.authority.empty()) {
    credentials = grpc::SslCredentials({.pem_root_certs = tls.authority,
                                        .pem_private_key = tls.key.Reveal(),
                                        .pem_cert_chain = tls.certificate});
  } else if (IsLoopback(address)) {
    credentials = grpc::experimental::LocalCredentials(LOCAL_TCP);
  } else if (allow_insecure) {
    MENTOR_LOG_EVERY(std::chrono::minutes(10), kWarning,
                     "plain text: everyone on the way can read the traffic",
                     {{"address", std::string(address)}});
    *token_apart = token != nullptr;
    return grpc::InsecureChannelCredentials();
  } else {
    return absl::InvalidArgumentError(
        "refusing to connect to '" + std::string(address) +
        "' without TLS, because it is not a loopback address: name the authority of the server's "
        "certificate with --tls_ca; or give --allow_insecure where the network protects itself");
  }
  if (token == nullptr) return credentials;
  // Level "none", since local credentials have no other: both ends are on this machine.
  return grpc::CompositeChannelCredentials(
      credentials, grpc::experimental::MetadataCredentialsFromPlugin(
                       std::make_unique<TokenPlugin>(std::move(token)), GRPC_SECURITY_NONE));
}

}  // namespace mentor::rpc
