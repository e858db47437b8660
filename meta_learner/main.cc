// mentor-meta-learner: owns experiments, their outer rules and checkpoints, and the control API.
#include <torch/version.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "agents/numerics.h"
#include "common/check.h"
#include "common/lifecycle.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/printable.h"
#include "common/process/command_line.h"
#include "common/process/flags.h"
#include "common/protocol.h"
#include "common/rpc/address.h"
#include "common/rpc/credentials.h"
#include "common/rpc/server.h"
#include "envs/fingerprint.h"
#include "kernels/device.h"
#include "kernels/device_monitor.h"
#include "kernels/flags/device_flags.h"
#include "meta_learner/leadership.h"
#include "meta_learner/meta_learner.h"
#include "meta_learner/objects/s3_store.h"
#include "meta_learner/store/backup.h"
#include "meta_learner/store/bundle_shelf.h"
#include "meta_learner/store/store.h"
#include "shards/learner_fingerprint.h"

namespace mentor::meta_learner {
namespace {

constexpr std::chrono::milliseconds kShutdownDeadline{5000};

struct Flags {
  uint32_t check_every = 1000;
  CommonFlags common;
  SecurityFlags security;
  std::string state = "state", listen = "127.0.0.1:50052", database;
  int threads = 2;
  kernels::DeviceFlags device;
  uint64_t reserve_mb = 64;
  double storage_per_owner_gb = 0;
  double bundles_per_owner_gb = 10;
  Scheduler::Options scheduling;
  ExperimentService::Options control;
  rpc::RateLimiter::Options rate;
  bool standby = false;
  std::string advertise;
  S3Options objects;
  std::string backup_to, restore_from;  // For the commands backup and restore.

  ExperimentService::Options Control() const {
    ExperimentService::Options options = control;
    options.rate = rate;
    options.per_owner.checkpoint_bytes = static_cast<int64_t>(storage_per_owner_gb * 1e9);
    options.per_owner.bundle_bytes = static_cast<uint64_t>(bundles_per_owner_gb * 1e9);
    return options;
  }
};

void AddQueueFlags(CLI::App* app, Flags* flags) {
  const InGroup group(app, "Queue");
  app->add_option("--max_running", flags->scheduling.running_max,
                  "How many experiments run at once; the rest wait")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app->add_option("--max_queued", flags->control.queued_max,
                  "How many experiments may be queued or paused")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app->add_option("--low_share", flags->scheduling.low_share,
                  "Share of turns that LOW experiments get while others wait too")
      ->check(NumberIn(0, 1))
      ->capture_default_str();
  app->add_option("--max_running_per_owner", flags->scheduling.running_per_owner_max,
                  "How many experiments of one owner run at once; 0: no limit")
      ->check(CLI::Range(0, 64))
      ->capture_default_str();
  app->add_option("--max_queued_per_owner", flags->control.per_owner.queued,
                  "How many experiments of one owner may be queued or paused; 0: no limit")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  app->add_option("--max_storage_per_owner_gb", flags->storage_per_owner_gb,
                  "Size of one owner's checkpoints from which on new experiments are refused and "
                  "the owner's "
                  "others wait, PAUSED; 0: no limit")
      ->check(NumberIn(0, 1e9))
      ->capture_default_str();
  app->add_option("--max_bundles_per_owner_gb", flags->bundles_per_owner_gb,
                  "Size of one owner's bundles beyond which no more are taken; 0: no limit")
      ->check(NumberIn(0, 1e9))
      ->capture_default_str();
}

void AddObjectFlags(CLI::App* app, S3Options* options) {
  const InGroup group(app, "Objects");
  app->add_option("--objects", options->url,
                  "s3://BUCKET/PREFIX: durable copies of checkpoints and artifacts by the S3 API; "
                  "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from the "
                  "credentials file of AWS's tools");
  app->add_option("--objects_endpoint", options->endpoint,
                  "https://HOST:PORT of a service other than Amazon's");
  app->add_option("--objects_region", options->region,
                  "Region of the bucket; otherwise AWS_REGION, or us-east-1");
  app->add_option("--objects_addressing", options->addressing,
                  "Where the bucket's name goes: path, host, or auto (path with an endpoint)")
      ->check(OneOf({"auto", "path", "host"}))
      ->capture_default_str();
}

void AddFlags(CLI::App* app, Flags* flags) {
  app->add_option("--state", flags->state, "Folder for everything it keeps")->capture_default_str();
  app->add_option("--listen", flags->listen,
                  "HOST:PORT for learners and users; port 0 takes a free one, which is printed")
      ->transform(Addresses(rpc::AddressOf::kServer))
      ->capture_default_str();
  kernels::AddDeviceFlags(app, &flags->device);
  app->add_option("--threads", flags->threads,
                  "Threads for outer updates, of all experiments together")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app->add_option("--database", flags->database,
                  "PostgreSQL instead of the SQLite file in the state folder: "
                  "postgresql://USER@HOST/DATABASE; the password comes from PGPASSFILE or "
                  "PGPASSWORD");
  app->add_option(
         "--check_every", flags->check_every,
         "Every Nth shard is computed again by another learner, and used when both have the "
         "same bits; 0: none")
      ->check(CLI::Range(0, 1'000'000'000))
      ->capture_default_str();
  app->add_flag(
         "--standby", flags->standby,
         "While another meta-learner leads on the database, stand by: answer reads, and take "
         "over when it is gone. Several may, with the same --state")
      ->group("Standby");
  app->add_option("--advertise", flags->advertise,
                  "HOST:PORT at which clients and learners find this one, named by those that "
                  "stand by (default: where it listens)")
      ->transform(Addresses(rpc::AddressOf::kPeer))
      ->group("Standby");
  app->add_option("--disk_reserve_mb", flags->reserve_mb,
                  "Disk space reserved to save state when the disk fills, MiB")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  AddObjectFlags(app, &flags->objects);
  AddQueueFlags(app, flags);
  CLI::App* backup = app->add_subcommand(
      "backup", "Copy the state into a new folder, also while a meta-learner is running");
  backup->add_option("--out", flags->backup_to, "New folder for the backup")->required();
  CLI::App* restore = app->add_subcommand(
      "restore", "Fill a new state folder (--state, --database) from a backup, after checking it");
  restore->add_option("--from", flags->restore_from, "Folder of the backup")->required();
  app->add_subcommand("reindex",
                      "Bring back experiments whose folder or objects are there and whose row in "
                      "the database is not, or cannot be read: PAUSED at their newest checkpoint");
  AddRateLimitFlags(app, &flags->rate);
  AddSecurityFlags(app, &flags->security, Side::kServer);
  AddCommonFlags(app, &flags->common);
  AddVersionFlag(app, std::string(kernels::kKernels));
}

int ReportMove(const absl::StatusOr<BackupSummary>& summary) {
  if (!summary.ok()) return Fail(summary.status());
  std::printf("%d experiments, %d files, %.1f MB: every hash is right\n",
              static_cast<int>(summary->experiments), static_cast<int>(summary->files),
              static_cast<double>(summary->bytes) / 1e6);
  return kExitOk;
}

int ReportReindex(const absl::StatusOr<std::vector<Reindexed>>& done) {
  if (!done.ok()) return Fail(done.status());
  int back = 0;
  for (const Reindexed& one : *done) {
    if (!one.status.ok()) {
      const std::string_view why(one.status.message().data(), one.status.message().size());
      std::fprintf(stderr, "warning: %s is not back: %s\n", one.uid.c_str(),
                   PrintableLines(why).c_str());
      continue;
    }
    ++back;
    std::printf("%s  %s  PAUSED after outer update %u of %u\n", one.uid.c_str(),
                one.experiment.name().c_str(), one.experiment.progress().outer_updates(),
                one.experiment.progress().outer_updates_total());
    std::printf("  %s\n", PrintableLines(one.spec_from).c_str());
  }
  std::printf("%d of %d experiments are back; folders of the others without a row are in lost/\n",
              back, static_cast<int>(done->size()));
  return back == static_cast<int>(done->size()) ? kExitOk : kExitFailed;
}

// Returns an error for flags that cannot be combined, and trims the address.
absl::Status CheckFlags(const Flags& flags) {
  if (flags.standby && flags.database.empty()) {
    return absl::InvalidArgumentError(
        "--standby needs --database: those that stand by share a PostgreSQL database and the "
        "folder --state; with SQLite the folder has one process");
  }
  return absl::OkStatus();
}

// Returns the bucket that the flags name, after a check; null if they name none.
absl::StatusOr<std::shared_ptr<ObjectStore>> OpenObjects(const Flags& flags,
                                                         const ObjectMetrics* metrics) {
  if (flags.objects.url.empty()) return nullptr;
  S3Options options = flags.objects;
  options.metrics = metrics;
  const std::string endpoint = S3EndpointOr(options.endpoint);
  const size_t host = endpoint.find("://");
  options.without_proxy = host != endpoint.npos && rpc::IsLoopback(endpoint.substr(host + 3));
  options.allow_plain = flags.security.allow_insecure || options.without_proxy;
  MENTOR_ASSIGN_OR_RETURN(std::shared_ptr<ObjectStore> objects, MakeS3Store(options));
  const absl::Status usable = CheckObjectStore(objects.get());
  // A standby needs the bucket only when it takes over.
  if (flags.standby && absl::IsUnavailable(usable)) {
    MENTOR_LOG(kWarning, "the bucket is away", {{"why", usable}});
    return objects;
  }
  MENTOR_RETURN_IF_ERROR(usable);
  return objects;
}

int Serve(Flags flags) {
  if (const absl::Status status = CheckFlags(flags); !status.ok()) return Fail(status);
  if (const absl::Status status = agents::FixNumerics(); !status.ok()) return Fail(status);
  auto metrics = Metrics::Create({.build_info = {{"version", std::string(kBuildVersion)},
                                                 {"torch", TORCH_VERSION},
                                                 {"mujoco", envs::MujocoVersion()}}});
  auto device = kernels::OpenDevice(flags.device);
  if (!device.ok()) return Fail(device.status());
  absl::Status proved = shards::ProveDevice(&*device);
  if (proved.ok()) proved = shards::CheckBits(*device);
  if (!proved.ok()) return Fail(proved, kExitUsage);
  (*device).monitor->Expose(metrics.get());
  if (const absl::Status status = ExposeMetrics(flags.common, metrics.get()); !status.ok())
    return Fail(status);
  const auto process = Process::Start(flags.common.ProcessOptions(MetaLearner::ServiceNames()));
  if (!process.ok()) return Fail(process.status(), kExitUsage);
  rpc::ServerOptions server_options = flags.security.Server(flags.listen, metrics.get());
  server_options.health_names = MetaLearner::ServiceNames();
  if (std::error_code error; !std::filesystem::exists(flags.state + "/FORMAT", error)) {
    // Check first, so that a refused start leaves no new state folder with a reserve.
    if (const absl::Status status = rpc::Server::Check(server_options); !status.ok())
      return Fail(status, kExitUsage);
  }
  const ObjectMetrics object_metrics(metrics.get());
  const auto objects = OpenObjects(flags, &object_metrics);
  if (!objects.ok()) return Fail(objects.status());
  Leadership leadership({.store = {.folder = flags.state,
                                   .database = flags.database,
                                   .objects = *objects,
                                   .advertise = flags.advertise},
                         .standby = flags.standby,
                         .control = flags.Control()},
                        metrics.get());
  const auto store = leadership.Open(process->get(), &server_options);
  if (!store.ok()) return Fail(store.status());
  if (*store == nullptr) return kExitOk;  // Stopped while standing by.
  const auto bundles =
      BundleShelf::Open({.folder = (*store)->files.folder() / kBundlesFolder,
                         .objects = (*store)->files.objects(),
                         .owner_bytes_max = flags.Control().per_owner.bundle_bytes});
  if (!bundles.ok()) return Fail(bundles.status());
  SetBundleFinder([&](const std::string& digest) { return (*bundles)->Find(digest); });
  MetaLearner meta_learner({.store = store->get(),
                            .bundles = bundles->get(),
                            .num_threads = flags.threads,
                            .device = *device,
                            .disk_reserve_bytes = flags.reserve_mb << 20,
                            .check_every = flags.check_every,
                            .scheduling = flags.scheduling,
                            .control = flags.Control()},
                           metrics.get());
  leadership.EndStandby();
  auto server = rpc::Server::Start(server_options, meta_learner.services());
  if (!server.ok()) return Fail(server.status(), kExitUsage);
  (*process)->Follow(server->get());
  (*process)->ReadyWhile([&] { return leadership.Look(store->get()); });
  (*store)->Advertise(flags.advertise.empty() ? (*server)->address() : flags.advertise);
  leadership.SayAddress((*server)->address());

  (*process)->Run();
  leadership.Stopping();
  meta_learner.Stop();
  (*server)->Shutdown(kShutdownDeadline);
  SetBundleFinder(nullptr);
  return leadership.lost() ? kExitInUse : kExitOk;
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Owns experiments: queue, outer rule, checkpoints, results, control API. Its state folder "
      "survives kill -9.");
  app.footer(
      "Examples:\n"
      "  mentor-meta-learner --state state --listen 127.0.0.1:50052 --threads 2\n"
      "  mentor-meta-learner --state shared --database postgresql://mentor@db/mentor --standby \\\n"
      "    --listen 0.0.0.0:50052 --advertise ml-0:50052                 # and on other hosts too\n"
      "  mentor-meta-learner --state state --database postgresql://mentor@db/mentor --objects "
      "s3://runs/mentor\n"
      "  mentor-meta-learner --state state backup --out backups/monday   # while it works\n"
      "  mentor-meta-learner --state new restore --from backups/monday\n"
      "  mentor-meta-learner --state state reindex                       # its database was lost");
  Flags flags;
  AddFlags(&app, &flags);
  if (const auto code = ParseCommandLine(&app, argc, argv)) return *code;
  InitLog(flags.common, "meta-learner");
  StoreOptions options{.folder = flags.state, .database = flags.database};
  const bool backup = app.got_subcommand("backup");
  if (backup || app.got_subcommand("reindex")) {
    auto objects = OpenObjects(flags, /*metrics=*/nullptr);
    if (!objects.ok()) return Fail(objects.status());
    options.objects = *std::move(objects);
    return backup ? ReportMove(BackUp(options, flags.backup_to)) : ReportReindex(Reindex(options));
  }
  if (app.got_subcommand("restore")) return ReportMove(Restore(flags.restore_from, options));
  return Serve(flags);
}

}  // namespace
}  // namespace mentor::meta_learner

int main(int argc, char** argv) {
  mentor::ExplainLimits();
  mentor::BlockStopSignals();
  mentor::EndMain(mentor::meta_learner::Main(argc, argv));
}
