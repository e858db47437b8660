// mentor-meta-learner: owns experiments, their outer rules and checkpoints, and the control API.
#include <torch/version.h>

#include "common/lifecycle.h"
#include "common/metrics.h"
#include "common/process/flags.h"
#include "common/rpc/server.h"
#include "envs/fingerprint.h"
#include "learner/agents/numerics.h"
#include "meta_learner/meta_learner.h"
#include "meta_learner/store/backup.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {
namespace {

constexpr std::chrono::milliseconds kShutdownDeadline{5000};

int Main(int argc, char** argv) {
  CLI::App app(
      "Owns experiments: queue, outer rule, checkpoints, results, control API. Its state folder "
      "survives kill -9.");
  app.footer(
      "Examples:\n"
      "  mentor-meta-learner --state state --listen 127.0.0.1:50052 --threads 2\n"
      "  mentor-meta-learner --state state backup --out backups/monday   # while it works\n"
      "  mentor-meta-learner --state new restore --from backups/monday");
  CommonFlags common;
  SecurityFlags security;
  std::string state = "state", listen = "127.0.0.1:50052", database;
  int threads = 2;
  uint64_t reserve_mb = 64;
  double storage_per_owner_gb = 0;
  Scheduler::Options scheduling;
  ExperimentService::Options control;
  app.add_option("--state", state, "Folder of everything it remembers")->capture_default_str();
  app.add_option("--listen", listen,
                 "HOST:PORT for learners and users; port 0 takes a free one, which is printed")
      ->capture_default_str();
  app.add_option("--threads", threads, "Threads for outer updates")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--database", database,
                 "PostgreSQL instead of the SQLite file in the state folder: "
                 "postgresql://USER@HOST/DATABASE; the password comes from PGPASSFILE or "
                 "PGPASSWORD");
  app.add_option("--disk_reserve_mb", reserve_mb,
                 "Room kept free for the last words on a full disk, MiB")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_option("--max_running", scheduling.running_max, "Experiments at once; the rest waits")
      ->check(CLI::Range(1, 64))
      ->group("Queue")
      ->capture_default_str();
  app.add_option("--max_queued", control.queued_max, "Experiments in the queue")
      ->check(CLI::Range(1, 1'000'000))
      ->group("Queue")
      ->capture_default_str();
  app.add_option("--low_share", scheduling.low_share,
                 "Share of turns that LOW experiments get while others wait too")
      ->check(CLI::Range(0.0, 1.0))
      ->group("Queue")
      ->capture_default_str();
  app.add_option("--max_running_per_owner", scheduling.running_per_owner_max,
                 "Experiments of one owner at once; 0: no limit")
      ->check(CLI::Range(0, 64))
      ->group("Queue")
      ->capture_default_str();
  app.add_option("--max_queued_per_owner", control.per_owner.queued,
                 "Experiments of one owner in the queue; 0: no limit")
      ->check(CLI::Range(0, 1'000'000))
      ->group("Queue")
      ->capture_default_str();
  app.add_option("--max_storage_per_owner_gb", storage_per_owner_gb,
                 "Checkpoints of one owner beyond which nothing new is taken; 0: no limit")
      ->check(CLI::Range(0.0, 1e9))
      ->group("Queue")
      ->capture_default_str();
  std::string backup_to, restore_from;
  CLI::App* backup = app.add_subcommand(
      "backup", "Copy the state, also of a meta-learner at work, into a new folder");
  backup->add_option("--out", backup_to, "New folder of the backup")->required();
  CLI::App* restore = app.add_subcommand(
      "restore", "Fill a new state folder (--state, --database) from a backup, after checking it");
  restore->add_option("--from", restore_from, "Folder of the backup")->required();
  rpc::RateLimiter::Options rate;
  AddRateLimitFlags(&app, &rate);
  AddSecurityFlags(&app, &security, Side::kServer);
  AddCommonFlags(&app, &common);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  InitLog(common, "meta-learner");
  if (backup->parsed() || restore->parsed()) {
    const StoreOptions options{.folder = state, .database = database};
    const auto summary =
        backup->parsed() ? BackUp(options, backup_to) : Restore(restore_from, options);
    if (!summary.ok()) return Fail(summary.status());
    std::printf("%d experiments, %d files, %.1f MB: every hash is right\n",
                static_cast<int>(summary->experiments), static_cast<int>(summary->files),
                static_cast<double>(summary->bytes) / 1e6);
    return kExitOk;
  }
  if (const absl::Status status = learner::FixNumerics(); !status.ok()) return Fail(status);

  auto metrics = Metrics::Create({.build_info = {{"version", std::string(kBuildVersion)},
                                                 {"torch", TORCH_VERSION},
                                                 {"mujoco", envs::MujocoVersion()}}});
  if (const absl::Status status = ExposeMetrics(common, metrics.get()); !status.ok())
    return Fail(status);
  const auto process = Process::Start(common.ProcessOptions(MetaLearner::ServiceNames()));
  if (!process.ok()) return Fail(process.status(), kExitUsage);
  OpenError open_error = OpenError::kNone;
  const auto store = OpenStore(StoreOptions{.folder = state, .database = database}, &open_error);
  if (!store.ok()) {
    return Fail(store.status(), open_error == OpenError::kInUse    ? kExitInUse
                                : open_error == OpenError::kTooNew ? kExitTooNew
                                                                   : kExitFailed);
  }
  control.rate = rate;
  control.per_owner.checkpoint_bytes = static_cast<int64_t>(storage_per_owner_gb * 1e9);
  MetaLearner meta_learner({.store = store->get(),
                            .num_threads = threads,
                            .disk_reserve_bytes = reserve_mb << 20,
                            .scheduling = scheduling,
                            .control = control},
                           metrics.get());
  rpc::ServerOptions server_options = security.Server(listen, metrics.get());
  server_options.health_names = MetaLearner::ServiceNames();
  auto server = rpc::Server::Start(server_options, meta_learner.services());
  if (!server.ok()) return Fail(server.status(), kExitUsage);
  (*process)->Follow(server->get());
  // For scripts: where it listens, once it does.
  std::printf("listening on %s\n", (*server)->address().c_str());
  std::fflush(stdout);

  (*process)->Run();
  meta_learner.Stop();
  (*server)->Shutdown(kShutdownDeadline);
  return kExitOk;
}

}  // namespace
}  // namespace mentor::meta_learner

int main(int argc, char** argv) {
  mentor::BlockStopSignals();
  return mentor::meta_learner::Main(argc, argv);
}
