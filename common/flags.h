// Command-line flags that several programs share, so that they read alike.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "common/failpoint.h"
#include "common/log.h"
#include "common/protocol.h"
#include "common/rpc/credentials.h"

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
  app->add_option("--tls_cert", tls->certificate, "Own certificate (PEM)")->group("TLS");
  app->add_option("--tls_key", tls->key, "Key of the own certificate (PEM)")->group("TLS");
  app->add_option("--tls_ca", tls->authority,
                  "Authority that the peer's certificate must come from (PEM)")
      ->group("TLS");
}

struct CommonFlags {
  std::string log_format = "json";
  std::string metrics_address;
};

inline void AddCommonFlags(CLI::App* app, CommonFlags* flags) {
  app->add_option("--metrics", flags->metrics_address,
                  "HOST:PORT of the Prometheus page /metrics; port 0 takes a free one");
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
