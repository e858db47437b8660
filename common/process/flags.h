// Command-line flags that several programs share, so that they read alike.
#pragma once

#include <chrono>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "common/failpoint.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/process/process.h"
#include "common/protocol.h"
#include "common/rpc/channel.h"
#include "common/rpc/rate_limit.h"
#include "common/rpc/server.h"

namespace mentor {

// Exit codes of the servers.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,
  kExitUsage = 2,
  kExitInUse = 4,
  kExitTooNew = 5
};

inline void AddTlsFlags(CLI::App* app, rpc::TlsFiles* tls) {
  app->add_option("--tls_cert", tls->certificate, "Own certificate (PEM)")->group("Security");
  app->add_option("--tls_key", tls->key, "Key of the own certificate (PEM)")->group("Security");
  app->add_option("--tls_ca", tls->authority,
                  "Authority that the peer's certificate must come from (PEM)")
      ->group("Security");
}

// Credentials of a process, as client and as server (docs/security.md).
struct SecurityFlags {
  rpc::TlsFiles tls;
  bool allow_insecure = false;
  // As client.
  std::string token_file;
  // As server.
  std::string tokens, roles;
  bool no_client_certificates = false;

  rpc::ChannelOptions Channel(const std::string& address, Metrics* metrics = nullptr) const {
    return {.address = address,
            .tls = tls,
            .token_file = token_file,
            .allow_insecure = allow_insecure,
            .metrics = metrics};
  }
  rpc::ServerOptions Server(const std::string& address, Metrics* metrics) const {
    return {.address = address,
            .tls = tls,
            .tokens = tokens,
            .roles = roles,
            .client_certificates = !no_client_certificates,
            .allow_insecure = allow_insecure,
            .metrics = metrics};
  }
};

enum class Side { kClient, kServer, kBoth };

inline void AddSecurityFlags(CLI::App* app, SecurityFlags* flags, Side side) {
  AddTlsFlags(app, &flags->tls);
  if (side != Side::kServer) {
    app->add_option("--token_file", flags->token_file,
                    "File of the token that this process shows to servers; mode 0600, read again "
                    "when it changes")
        ->envname("MENTOR_TOKEN_FILE")
        ->group("Security");
  }
  if (side != Side::kClient) {
    app->add_option("--tokens", flags->tokens,
                    "File of the tokens that callers must show: lines ROLE NAME SHA256; mode 0600, "
                    "read again when it changes")
        ->group("Security");
    app->add_option("--roles", flags->roles,
                    "File of roles for client certificates: lines ROLE COMMON-NAME")
        ->group("Security");
    app->add_flag(
           "--no_client_certificates", flags->no_client_certificates,
           "Ask clients for no certificate although --tls_ca is set: tokens say who they are")
        ->group("Security");
  }
  app->add_flag("--allow_insecure", flags->allow_insecure,
                "Plain text, or nobody authenticated, beyond this machine: only on a network that "
                "protects itself")
      ->group("Security");
}

inline void AddRateLimitFlags(CLI::App* app, rpc::RateLimiter::Options* options) {
  app->add_option_function<double>(
         "--calls_per_second",
         [options](const double& calls) {
           options->calls_per_second = calls;
           options->burst = 2 * calls;
         },
         "Calls that one caller may make a second, twice as many in a burst; 0: no limit")
      ->check(CLI::Range(0.0, 1e6))
      ->default_str("100")
      ->group("Security");
}

struct CommonFlags {
  std::string log_format = "json";
  std::string metrics_address = {};
  std::string admin_address = {};
  double drain_delay_s = 0;

  Process::Options ProcessOptions(std::vector<std::string> services) const {
    return {.admin_address = admin_address,
            .services = std::move(services),
            .drain_delay = std::chrono::milliseconds(static_cast<int64_t>(drain_delay_s * 1000))};
  }
};

inline void AddCommonFlags(CLI::App* app, CommonFlags* flags) {
  app->add_option("--metrics", flags->metrics_address,
                  "HOST:PORT of the Prometheus page /metrics; port 0 takes a free one");
  app->add_option("--admin", flags->admin_address,
                  "HOST:PORT of the admin port, health for probes and nothing else, plain text; "
                  "port 0 takes a free one");
  app->add_option("--drain_delay", flags->drain_delay_s,
                  "Seconds from a stop signal, when readiness goes, to the end of the service")
      ->check(CLI::Range(0.0, 600.0))
      ->capture_default_str();
  app->add_option("--log_format", flags->log_format, "Logs on stderr: json or text")
      ->check(CLI::IsMember({"json", "text"}))
      ->capture_default_str();
  app->add_flag_callback(
         "--list_failpoints",
         [] {
           for (const std::string& name : failpoint::Names()) std::printf("%s\n", name.c_str());
           throw CLI::Success();
         },
         "Print the places where MENTOR_FAILPOINTS can make this program fail, and exit")
      ->group("Tests");
  app->set_version_flag("--version", std::string(kBuildVersion));
}

// The metrics page, if the flags ask for one; says where it is.
inline absl::Status ExposeMetrics(const CommonFlags& flags, Metrics* metrics) {
  if (flags.metrics_address.empty()) return absl::OkStatus();
  if (absl::Status status = metrics->Expose(flags.metrics_address); !status.ok()) return status;
  const std::string& address = flags.metrics_address;
  const size_t colon = address.rfind(':');
  std::printf("metrics on %s%d\n",
              colon == std::string::npos ? "" : address.substr(0, colon + 1).c_str(),
              metrics->port());
  std::fflush(stdout);
  return absl::OkStatus();
}

inline void InitLog(const CommonFlags& flags, const std::string& logger) {
  log::Format format = log::Format::kJson;
  log::ParseFormat(flags.log_format, &format).IgnoreError();  // Checked by the flag.
  log::Init({.format = format, .logger = logger});
}

// The reason on stderr, the exit code back.
inline int Fail(const absl::Status& status, int code = kExitFailed) {
  std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  return code;
}

}  // namespace mentor
