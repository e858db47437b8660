// mentor-actor: simulates environments for a learner.
#include <chrono>
#include <cstdlib>
#include <thread>

#include <CLI/CLI.hpp>

#include "actor/actor.h"
#include "actor/learner_list.h"
#include "common/lifecycle.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "common/process/command_line.h"
#include "common/process/flags.h"
#include "common/protocol.h"
#include "common/rpc/address.h"
#include "common/rpc/bundle_transfer.h"
#include "common/uuid.h"
#include "envs/fingerprint.h"
#include "envs/host/host_list.h"
#include "mentor/v1/rollout_service.grpc.pb.h"

namespace mentor {
namespace {

// Maximum time from the stop signal to the end of the process, whatever a simulator does. All lost
// work can be repeated by other actors.
constexpr std::chrono::seconds kEndWithin{9};

void EndWithin(std::chrono::seconds limit) {
  std::thread([limit] {
    StopRequestedWithin({}, limit);
    MENTOR_LOG(kWarning, "a simulator does not come to a pause point, so its unit is cut short");
    std::_Exit(kExitOk);
  }).detach();
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Simulates environments for a learner. Stateless: start and stop as many as you like, at any "
      "time.");
  app.footer("Example:\n  mentor-actor --learner 127.0.0.1:50051 --threads 2");
  CommonFlags common;
  SecurityFlags security;
  BundleFlags bundles;
  SimulatorFlags hosts;
  std::string learner = "127.0.0.1:50051";
  int threads = 2, environment_timeout_s = 60;
  app.add_option("--learner", learner,
                 "HOST:PORT of the learner, or of several, with commas; a name stands for all its "
                 "addresses. The actor connects to one, and to another when that one is gone or "
                 "has no work")
      ->transform(Addresses(rpc::AddressOf::kPeer, actor::kNamedMax))
      ->capture_default_str();
  app.add_option("--threads", threads, "Worker threads, each with simulators of its own")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--environment_timeout_s", environment_timeout_s,
                 "Longest time that one reset or one step of an environment may compute; beyond it "
                 "the unit fails")
      ->check(CLI::Range(1, 86'400))
      ->capture_default_str();
  AddSimulatorFlags(&app, &hosts);
  AddBundleFlags(&app, &bundles);
  AddSecurityFlags(&app, &security, Side::kClient);
  AddCommonFlags(&app, &common);
  if (const auto code = ParseCommandLine(&app, argc, argv)) return *code;
  InitLog(common, "actor");

  if (const absl::Status status = envs::AllowSimulators(hosts.hosts, hosts.timeout_s); !status.ok())
    return Fail(status, kExitUsage);
  auto metrics = Metrics::Create(
      {.build_info = {{"version", std::string(kBuildVersion)}, {"mujoco", envs::MujocoVersion()}}});
  if (const absl::Status status = ExposeMetrics(common, metrics.get()); !status.ok())
    return Fail(status);
  const auto process = Process::Start(common.ProcessOptions({}));
  if (!process.ok()) return Fail(process.status(), kExitUsage);
  const std::string uid = NewUuid();
  const auto learners =
      actor::LearnerList::Make(uid, security.Channel(learner, metrics.get()), metrics.get());
  if (!learners.ok()) return Fail(learners.status(), kExitUsage);
  // Missing bundles come from the current learner.
  rpc::BundleFetcher fetcher(
      rpc::FetchFrom<v1::RolloutService>([&] { return (*learners)->channel(); }));
  // Other users of the cache hold a bundle while its model is compiled.
  rpc::UseBundleCache(bundles.CacheOptions(), &fetcher, metrics.get(),
                      /*wait_for_room=*/std::chrono::minutes(2));
  actor::Actor actor({.threads = threads,
                      .uid = uid,
                      .learners = learners->get(),
                      .piece_deadline = std::chrono::seconds(environment_timeout_s),
                      .interrupt = [&] { fetcher.Stop(); },
                      .on_drain = [] { RequestStop("the learner asks this actor to leave"); }},
                     metrics.get());
  (*process)->Run();
  EndWithin(kEndWithin);
  actor.Stop();
  return kExitOk;
}

}  // namespace
}  // namespace mentor

int main(int argc, char** argv) {
  mentor::ExplainLimits();
  mentor::BlockStopSignals();
  mentor::EndMain(mentor::Main(argc, argv));
}
