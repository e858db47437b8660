// Command-line flags that several programs share, so that they are consistent.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>

#include "common/bundle_cache.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/process/process.h"
#include "common/rpc/channel.h"
#include "common/rpc/rate_limit.h"
#include "common/rpc/server.h"

namespace CLI {
class App;
}  // namespace CLI

namespace mentor {

// Exit codes of the servers and of `mentor` (docs/operating.md); mentorctl has its own.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,
  kExitUsage = 2,
  kExitInUse = 4,
  kExitTooNew = 5,
  kExitDevice = 6
};

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

void AddSecurityFlags(CLI::App* app, SecurityFlags* flags, Side side);
void AddRateLimitFlags(CLI::App* app, rpc::RateLimiter::Options* options);

// The folder for bundles that a process fetches (docs/operating.md#bundles).
struct BundleFlags {
  std::string folder = {};  // Empty: see CacheOptions.
  uint64_t megabytes = 2000;

  BundleCache::Options CacheOptions() const;
};

void AddBundleFlags(CLI::App* app, BundleFlags* flags);

// Programs that simulate environments (docs/own_environments.md).
struct SimulatorFlags {
  std::vector<std::string> hosts = {};  // "NAME=COMMAND"
  int timeout_s = 60;
};

void AddSimulatorFlags(CLI::App* app, SimulatorFlags* flags);

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

void AddCommonFlags(CLI::App* app, CommonFlags* flags);

// Starts the metrics page if the flags ask for one, and prints its address.
absl::Status ExposeMetrics(const CommonFlags& flags, Metrics* metrics);
void InitLog(const CommonFlags& flags, const std::string& logger,
             log::Severity least = log::Severity::kInfo);
// Prints the reason to stderr and returns the exit code.
int Fail(const absl::Status& status, int code);
// Like Fail(status, ExitCodeOf(status)). kExitUsage for wrong arguments and for names that do not
// exist; IN_USE and TOO_NEW have codes of their own.
int Fail(const absl::Status& status);
int ExitCodeOf(const absl::Status& status);

}  // namespace mentor
