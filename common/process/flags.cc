#include "common/process/flags.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>

#include <CLI/CLI.hpp>
#include <absl/strings/str_cat.h>
#include <unistd.h>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/printable.h"
#include "common/process/command_line.h"
#include "common/rpc/address.h"
#include "common/status.h"

namespace mentor {

void AddSecurityFlags(CLI::App* app, SecurityFlags* flags, Side side) {
  const InGroup group(app, "Security");
  app->add_option("--tls_cert", flags->tls.certificate, "Own certificate (PEM)");
  app->add_option("--tls_key", flags->tls.key, "Key of the own certificate (PEM)");
  app->add_option("--tls_ca", flags->tls.authority,
                  "Authority that the peer's certificate must come from (PEM)");
  if (side != Side::kServer) {
    app->add_option("--token_file", flags->token_file,
                    "File of the token that this process shows to servers; mode 0600, read again "
                    "when it changes")
        ->envname("MENTOR_TOKEN_FILE");
  }
  if (side != Side::kClient) {
    app->add_option("--tokens", flags->tokens,
                    "File of the tokens that callers must show: lines ROLE NAME SHA256; mode 0600, "
                    "read again when it changes");
    app->add_option("--roles", flags->roles,
                    "File of roles for client certificates: lines ROLE COMMON-NAME");
    app->add_flag("--no_client_certificates", flags->no_client_certificates,
                  "Ask clients for no certificate although --tls_ca is set: tokens identify them");
  }
  app->add_flag("--allow_insecure", flags->allow_insecure,
                "Plain text or no authentication beyond this machine: only on a network that "
                "protects itself");
}

void AddRateLimitFlags(CLI::App* app, rpc::RateLimiter::Options* options) {
  app->add_option_function<double>(
         "--calls_per_second",
         [options](const double& calls) {
           options->calls_per_second = calls;
           options->burst = 2 * calls;
         },
         "Calls that one caller may make a second, twice as many in a burst; 0: no limit")
      ->check(NumberIn(0, 1e6))
      ->default_str("100")
      ->group("Security");
}

BundleCache::Options BundleFlags::CacheOptions() const {
  namespace fs = std::filesystem;
  BundleCache::Options options{.folder = folder, .bytes_max = megabytes * 1'000'000};
  if (!folder.empty()) return options;
  const char* const cache = std::getenv("XDG_CACHE_HOME");
  const char* const home = std::getenv("HOME");
  std::error_code ignored;
  if (cache != nullptr && *cache == '/') {
    options.folder = fs::path(cache) / "mentor" / "bundles";
  } else if (home != nullptr && *home == '/' && std::string_view(home) != "/") {
    options.folder = fs::path(home) / ".cache" / "mentor" / "bundles";
  } else {
    options.folder = fs::temp_directory_path(ignored) / absl::StrCat("mentor-bundles-", getuid());
  }
  return options;
}

void AddBundleFlags(CLI::App* app, BundleFlags* flags) {
  const InGroup group(app, "Bundles");
  app->add_option("--bundle_cache", flags->folder,
                  "Folder for bundles of experiments, which processes of one machine may share "
                  "(default: mentor/bundles in XDG_CACHE_HOME or ~/.cache)");
  app->add_option(
         "--bundle_cache_mb", flags->megabytes,
         "Size of that folder, MB; beyond it, bundles that were used longest ago are removed")
      ->check(CLI::Range(1, 100'000'000))
      ->capture_default_str();
}

void AddSimulatorFlags(CLI::App* app, SimulatorFlags* flags) {
  const InGroup group(app, "Simulators");
  app->add_option(
      "--simulator,--host", flags->hosts,
      "NAME=COMMAND of a program that simulates environments, for instance "
      "gym='python3 -m mentor_env'; no shell sees it; may be repeated. --host is the old "
      "name, valid for one more version");
  app->add_option("--simulator_timeout_s,--host_timeout_s", flags->timeout_s,
                  "Seconds within which a simulator must answer; a slower one is ended")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
}

void AddCommonFlags(CLI::App* app, CommonFlags* flags) {
  app->add_option("--metrics", flags->metrics_address,
                  "HOST:PORT of the Prometheus page /metrics; port 0 takes a free one")
      ->transform(Addresses(rpc::AddressOf::kServer));
  app->add_option("--admin", flags->admin_address,
                  "HOST:PORT of the admin port, which serves health for probes only, in plain "
                  "text; port 0 takes a free one")
      ->transform(Addresses(rpc::AddressOf::kServer));
  app->add_option("--drain_delay", flags->drain_delay_s,
                  "Seconds between a stop signal, which ends readiness, and the end of the service")
      ->check(NumberIn(0, 600))
      ->capture_default_str();
  app->add_option("--log_format", flags->log_format, "Logs on stderr: json or text")
      ->check(OneOf({"json", "text"}))
      ->capture_default_str();
  app->add_flag_callback(
         "--list_failpoints",
         [] {
           for (const std::string& name : failpoint::Names()) std::printf("%s\n", name.c_str());
           throw CLI::Success();
         },
         "Print the names that MENTOR_FAILPOINTS accepts for this program, and exit")
      ->group("Tests");
  AddVersionFlag(app);
}

absl::Status ExposeMetrics(const CommonFlags& flags, Metrics* metrics) {
  if (flags.metrics_address.empty()) return absl::OkStatus();
  const std::string& address = flags.metrics_address;
  MENTOR_RETURN_IF_ERROR(metrics->Expose(address));
  std::printf("metrics on %s%d\n", address.substr(0, address.rfind(':') + 1).c_str(),
              metrics->port());
  std::fflush(stdout);
  return absl::OkStatus();
}

void InitLog(const CommonFlags& flags, const std::string& logger, log::Severity least) {
  log::Init({.format = flags.log_format == "text" ? log::Format::kText : log::Format::kJson,
             .least = least,
             .logger = logger});
}

int Fail(const absl::Status& status, int code) {
  std::fprintf(stderr, "error: %s\n",
               PrintableLines({status.message().data(), status.message().size()}).c_str());
  return code;
}

int Fail(const absl::Status& status) {
  return Fail(status, ExitCodeOf(status));
}

int ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return kExitOk;
  const std::string reason = ReasonOf(status);
  if (reason == ReasonName(Reason::kInUse)) return kExitInUse;
  if (reason == ReasonName(Reason::kTooNew)) return kExitTooNew;
  if (absl::IsInvalidArgument(status) || absl::IsNotFound(status)) return kExitUsage;
  return kExitFailed;
}

}  // namespace mentor
