// mentor-meta-learner: owns experiments, their outer rules and checkpoints, and the control API.
#include "common/flags.h"
#include "common/lifecycle.h"
#include "common/metrics.h"
#include "common/rpc/server.h"
#include "envs/environment.h"
#include "envs/fingerprint.h"
#include "learner/agents/numerics.h"
#include "learner/torch_fingerprint.h"
#include "meta_learner/experiment_service.h"
#include "meta_learner/scheduler.h"
#include "meta_learner/shard_broker.h"
#include "meta_learner/store.h"

namespace mentor::meta_learner {
namespace {

constexpr std::chrono::milliseconds kShutdownDeadline{5000};

int Main(int argc, char** argv) {
  CLI::App app(
      "Owns experiments: queue, outer rule, checkpoints, results, control API. Its state folder "
      "survives kill -9.");
  app.footer("Example:\n  mentor-meta-learner --state state --listen 127.0.0.1:50052 --threads 2");
  CommonFlags common;
  rpc::TlsFiles tls;
  std::string state = "state", listen = "127.0.0.1:50052";
  int threads = 2, running_max = 4;
  app.add_option("--state", state, "Folder of everything it remembers")->capture_default_str();
  app.add_option("--listen", listen,
                 "HOST:PORT for learners and users; port 0 takes a free one, which is printed")
      ->capture_default_str();
  app.add_option("--threads", threads, "Threads for outer updates")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--max_running", running_max, "Experiments at once; the rest waits")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  AddTlsFlags(&app, &tls);
  AddCommonFlags(&app, &common);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  InitLog(common, "meta-learner");
  if (const absl::Status status = learner::FixNumerics(); !status.ok()) return Fail(status);

  auto metrics = Metrics::Create({.build_info = {{"version", std::string(kBuildVersion)}}});
  if (!common.metrics_address.empty()) {
    if (const absl::Status status = metrics->Expose(common.metrics_address); !status.ok())
      return Fail(status);
  }
  OpenError open_error = OpenError::kNone;
  const auto store = OpenStore(state, &open_error);
  if (!store.ok()) {
    return Fail(store.status(), open_error == OpenError::kInUse    ? kExitInUse
                                : open_error == OpenError::kTooNew ? kExitTooNew
                                                                   : kExitFailed);
  }
  ShardBroker broker({.catalogue_hash = envs::CatalogueHash(),
                      .actor_fingerprint = envs::NumericFingerprint(),
                      .learner_fingerprint = learner::TorchFingerprint()},
                     metrics.get());
  Scheduler scheduler({.store = store->get(),
                       .broker = &broker,
                       .build = std::string(kBuildVersion),
                       .fingerprint = envs::NumericFingerprint() + learner::TorchFingerprint(),
                       .num_threads = threads},
                      running_max);
  ExperimentService experiments(
      {.store = store->get(),
       .check_spec = CheckParts,
       .wake = [&] { scheduler.Wake(); },
       .cancel = [&](const std::string& name) { scheduler.Cancel(name); }},
      metrics.get());
  auto server = rpc::Server::Start({.address = listen, .tls = tls},
                                   {broker.service(), experiments.service()});
  if (!server.ok()) return Fail(server.status(), kExitUsage);
  (*server)->SetReady(true);
  // For scripts: where it listens, once it does.
  std::printf("listening on %s\n", (*server)->address().c_str());
  std::fflush(stdout);

  WaitForStopSignal();
  (*server)->SetReady(false);
  scheduler.Stop();
  experiments.Stop();
  broker.Stop();
  (*server)->Shutdown(kShutdownDeadline);
  return kExitOk;
}

}  // namespace
}  // namespace mentor::meta_learner

int main(int argc, char** argv) {
  mentor::BlockStopSignals();
  return mentor::meta_learner::Main(argc, argv);
}
