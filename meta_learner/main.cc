// mentor-meta-learner: owns experiments, their outer rules and checkpoints, and the control API.
#include <torch/version.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include <CLI/CLI.hpp>

#include "common/lifecycle.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/printable.h"
#include "common/process/flags.h"
#include "common/protocol.h"
#include "common/rpc/server.h"
#include "envs/fingerprint.h"
#include "learner/agents/numerics.h"
#include "meta_learner/meta_learner.h"
#include "meta_learner/store/backup.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {
namespace {

constexpr std::chrono::milliseconds kShutdownDeadline{5000};

struct Flags {
  CommonFlags common;
  SecurityFlags security;
  std::string state = "state", listen = "127.0.0.1:50052", database;
  int threads = 2;
  uint64_t reserve_mb = 64;
  double storage_per_owner_gb = 0;
  Scheduler::Options scheduling;
  ExperimentService::Options control;
  rpc::RateLimiter::Options rate;
  std::string backup_to, restore_from;  // Of the two commands that work on a state and end.
};

void AddQueueFlags(CLI::App* app, Flags* flags) {
  app->add_option("--max_running", flags->scheduling.running_max,
                  "Experiments at once; the rest waits")
      ->check(CLI::Range(1, 64))
      ->group("Queue")
      ->capture_default_str();
  app->add_option("--max_queued", flags->control.queued_max, "Experiments in the queue or paused")
      ->check(CLI::Range(1, 1'000'000))
      ->group("Queue")
      ->capture_default_str();
  app->add_option("--low_share", flags->scheduling.low_share,
                  "Share of turns that LOW experiments get while others wait too")
      ->check(CLI::Range(0.0, 1.0))
      ->group("Queue")
      ->capture_default_str();
  app->add_option("--max_running_per_owner", flags->scheduling.running_per_owner_max,
                  "Experiments of one owner at once; 0: no limit")
      ->check(CLI::Range(0, 64))
      ->group("Queue")
      ->capture_default_str();
  app->add_option("--max_queued_per_owner", flags->control.per_owner.queued,
                  "Experiments of one owner in the queue or paused; 0: no limit")
      ->check(CLI::Range(0, 1'000'000))
      ->group("Queue")
      ->capture_default_str();
  app->add_option("--max_storage_per_owner_gb", flags->storage_per_owner_gb,
                  "Checkpoints of one owner beyond which nothing new is taken; 0: no limit")
      ->check(CLI::Range(0.0, 1e9))
      ->group("Queue")
      ->capture_default_str();
}

void AddFlags(CLI::App* app, Flags* flags) {
  app->add_option("--state", flags->state, "Folder of everything it remembers")
      ->capture_default_str();
  app->add_option("--listen", flags->listen,
                  "HOST:PORT for learners and users; port 0 takes a free one, which is printed")
      ->capture_default_str();
  app->add_option("--threads", flags->threads, "Threads for outer updates")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app->add_option("--database", flags->database,
                  "PostgreSQL instead of the SQLite file in the state folder: "
                  "postgresql://USER@HOST/DATABASE; the password comes from PGPASSFILE or "
                  "PGPASSWORD");
  app->add_option("--disk_reserve_mb", flags->reserve_mb,
                  "Room kept free for the last words on a full disk, MiB")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  AddQueueFlags(app, flags);
  CLI::App* backup = app->add_subcommand(
      "backup", "Copy the state, also of a meta-learner at work, into a new folder");
  backup->add_option("--out", flags->backup_to, "New folder of the backup")->required();
  CLI::App* restore = app->add_subcommand(
      "restore", "Fill a new state folder (--state, --database) from a backup, after checking it");
  restore->add_option("--from", flags->restore_from, "Folder of the backup")->required();
  app->add_subcommand("reindex",
                      "Bring back experiments whose folder is there and whose row in the database "
                      "is not, or cannot be read: PAUSED at their newest checkpoint");
  AddRateLimitFlags(app, &flags->rate);
  AddSecurityFlags(app, &flags->security, Side::kServer);
  AddCommonFlags(app, &flags->common);
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
  }
  std::printf("%d of %d experiments are back; folders of the others without a row are in lost/\n",
              back, static_cast<int>(done->size()));
  return back == static_cast<int>(done->size()) ? kExitOk : kExitFailed;
}

int Serve(const Flags& flags) {
  if (const absl::Status status = learner::FixNumerics(); !status.ok()) return Fail(status);

  auto metrics = Metrics::Create({.build_info = {{"version", std::string(kBuildVersion)},
                                                 {"torch", TORCH_VERSION},
                                                 {"mujoco", envs::MujocoVersion()}}});
  if (const absl::Status status = ExposeMetrics(flags.common, metrics.get()); !status.ok())
    return Fail(status);
  const auto process = Process::Start(flags.common.ProcessOptions(MetaLearner::ServiceNames()));
  if (!process.ok()) return Fail(process.status(), kExitUsage);
  rpc::ServerOptions server_options = flags.security.Server(flags.listen, metrics.get());
  server_options.health_names = MetaLearner::ServiceNames();
  if (std::error_code error; !std::filesystem::exists(flags.state + "/FORMAT", error)) {
    // A start that is refused leaves no new state folder, and no reserve in it.
    if (const absl::Status status = rpc::Server::Check(server_options); !status.ok())
      return Fail(status, kExitUsage);
  }
  // Another one writes now: whatever this one still says would be wrong.
  std::atomic<bool> lost = false;
  const auto on_lost = [&lost](const absl::Status& why) {
    if (!lost.exchange(true)) MENTOR_LOG(kError, "the database is lost; stopping", {{"why", why}});
    RequestStop("the database is lost");
  };
  const auto store = OpenStore(
      StoreOptions{.folder = flags.state, .database = flags.database, .on_lost = on_lost});
  if (!store.ok()) return Fail(store.status());
  ExperimentService::Options control = flags.control;
  control.rate = flags.rate;
  control.per_owner.checkpoint_bytes = static_cast<int64_t>(flags.storage_per_owner_gb * 1e9);
  MetaLearner meta_learner({.store = store->get(),
                            .num_threads = flags.threads,
                            .disk_reserve_bytes = flags.reserve_mb << 20,
                            .scheduling = flags.scheduling,
                            .control = control},
                           metrics.get());
  auto server = rpc::Server::Start(server_options, meta_learner.services());
  if (!server.ok()) return Fail(server.status(), kExitUsage);
  (*process)->Follow(server->get());
  // For scripts: where it listens, once it does.
  std::printf("listening on %s\n", (*server)->address().c_str());
  std::fflush(stdout);

  (*process)->Run();
  meta_learner.Stop();
  (*server)->Shutdown(kShutdownDeadline);
  return lost ? kExitInUse : kExitOk;
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Owns experiments: queue, outer rule, checkpoints, results, control API. Its state folder "
      "survives kill -9.");
  app.footer(
      "Examples:\n"
      "  mentor-meta-learner --state state --listen 127.0.0.1:50052 --threads 2\n"
      "  mentor-meta-learner --state state backup --out backups/monday   # while it works\n"
      "  mentor-meta-learner --state new restore --from backups/monday\n"
      "  mentor-meta-learner --state state reindex                       # its database was lost");
  Flags flags;
  AddFlags(&app, &flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  InitLog(flags.common, "meta-learner");
  const StoreOptions options{.folder = flags.state, .database = flags.database};
  if (app.got_subcommand("backup")) return ReportMove(BackUp(options, flags.backup_to));
  if (app.got_subcommand("reindex")) return ReportReindex(Reindex(options));
  if (app.got_subcommand("restore")) return ReportMove(Restore(flags.restore_from, options));
  return Serve(flags);
}

}  // namespace
}  // namespace mentor::meta_learner

int main(int argc, char** argv) {
  mentor::BlockStopSignals();
  return mentor::meta_learner::Main(argc, argv);
}
