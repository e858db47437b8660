// mentor-learner: runs shards for a meta-learner, with the help of actors.
#include <torch/version.h>

#include <cstdio>
#include <optional>

#include <CLI/CLI.hpp>

#include "agents/numerics.h"
#include "common/check.h"
#include "common/lifecycle.h"
#include "common/metrics.h"
#include "common/process/command_line.h"
#include "common/process/flags.h"
#include "common/protocol.h"
#include "common/rpc/address.h"
#include "common/rpc/bundle_transfer.h"
#include "common/rpc/channel_list.h"
#include "common/rpc/server.h"
#include "kernels/device.h"
#include "kernels/device_monitor.h"
#include "kernels/flags/device_flags.h"
#include "learner/learner.h"
#include "mentor/v1/shard_service.grpc.pb.h"
#include "shards/learner_fingerprint.h"

namespace mentor {
namespace {

constexpr std::chrono::milliseconds kShutdownDeadline{5000};

// A device that is not there and a full one are errors of the flag; one that fails ends the
// process.
absl::StatusOr<kernels::Device> OpenProved(const kernels::DeviceFlags& flags) {
  MENTOR_ASSIGN_OR_RETURN(kernels::Device device, kernels::OpenDevice(flags));
  MENTOR_RETURN_IF_ERROR(shards::ProveDevice(&device));
  return device;
}

struct Flags {
  CommonFlags common;
  SecurityFlags security;
  BundleFlags bundles;
  std::string meta_learner = "127.0.0.1:50052", listen = "127.0.0.1:50051";
  kernels::DeviceFlags device;
  int threads = 2, slots = 2;
  std::optional<double> memory_gb;
  uint32_t check_every = 1000;
};

int Serve(const Flags& flags) {
  if (const absl::Status status = agents::FixNumerics(); !status.ok()) return Fail(status);
  auto metrics = Metrics::Create(
      {.build_info = {{"version", std::string(kBuildVersion)}, {"torch", TORCH_VERSION}}});
  const auto compute = OpenProved(flags.device);
  if (!compute.ok()) return Fail(compute.status(), kExitUsage);
  (*compute).monitor->Expose(metrics.get());
  if (const absl::Status status = ExposeMetrics(flags.common, metrics.get()); !status.ok())
    return Fail(status);
  const std::vector<std::string> services = {"mentor.v1.RolloutService"};
  const auto process = Process::Start(flags.common.ProcessOptions(services));
  if (!process.ok()) return Fail(process.status(), kExitUsage);
  const auto channels =
      rpc::ChannelList::Make(flags.security.Channel(flags.meta_learner, metrics.get()));
  if (!channels.ok()) return Fail(channels.status(), kExitUsage);
  // Bundles that actors ask for come from the meta-learner.
  rpc::BundleFetcher fetcher(rpc::FetchFrom<v1::ShardService>([&] { return (*channels)->Get(); }));
  rpc::UseBundleCache(flags.bundles.CacheOptions(), &fetcher, metrics.get());
  learner::RolloutServer::Options rollout_options;
  rollout_options.dispatcher.check_every = flags.check_every;
  learner::RolloutServer rollout(rollout_options, metrics.get());
  std::optional<uint64_t> memory_bytes;
  if (flags.memory_gb) memory_bytes = static_cast<uint64_t>(*flags.memory_gb * 1e9);
  rpc::ServerOptions server_options = flags.security.Server(flags.listen, metrics.get());
  server_options.health_names = services;
  auto server = rpc::Server::Start(server_options, {rollout.service()});
  if (!server.ok()) return Fail(server.status(), kExitUsage);
  learner::Learner learner(
      {.num_threads = flags.threads,
       .memory_bytes = memory_bytes,
       .device = *compute,
       .shard_slots = flags.slots,
       .meta_learner = [&] { return (*channels)->Get(); },
       .meta_learner_address = [&] { return (*channels)->address(); },
       .on_meta_learner_ended = [&](const absl::Status& why) { (*channels)->Failed(why); },
       .rollout = &rollout,
       .on_drained = [] { RequestStop("drained"); }},
      metrics.get());
  (*process)->Follow(server->get());
  // Tells scripts the address, once it listens.
  std::printf("listening on %s\n", (*server)->address().c_str());
  std::fflush(stdout);

  (*process)->Run();
  learner.Stop();
  fetcher.Stop();
  rollout.Stop();
  (*server)->Shutdown(kShutdownDeadline);
  return kExitOk;
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Runs the inner PPO of many agents at once: takes shards from a meta-learner and gives their "
      "rollouts to actors.");
  app.footer(
      "Example:\n  mentor-learner --meta_learner 127.0.0.1:50052 --listen 127.0.0.1:50051 "
      "--threads 2");
  Flags flags;
  app.add_option("--meta_learner", flags.meta_learner,
                 "HOST:PORT of the meta-learner, or of all meta-learners of a service, with "
                 "commas; one of them leads")
      ->transform(Addresses(rpc::AddressOf::kPeer, rpc::kServersMax))
      ->capture_default_str();
  app.add_option("--listen", flags.listen,
                 "HOST:PORT for actors; port 0 takes a free one, which is printed")
      ->transform(Addresses(rpc::AddressOf::kServer))
      ->capture_default_str();
  app.add_option("--threads", flags.threads, "Threads for tensor work")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  kernels::AddDeviceFlags(&app, &flags.device);
  app.add_option("--slots", flags.slots, "Shards at once: one learns while another simulates")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--memory_gb", flags.memory_gb,
                 "Memory that the learner may use, GB; shards that need more go elsewhere; 0: no "
                 "limit. Default: the limit of its control group or the free memory of the "
                 "machine, whichever is smaller")
      ->check(NumberIn(0, 1e6));
  app.add_option("--check_every", flags.check_every,
                 "One of this many units is computed again by another actor, and the results are "
                 "compared; 0: none")
      ->check(CLI::Range(0, 1'000'000'000))
      ->capture_default_str();
  AddBundleFlags(&app, &flags.bundles);
  AddSecurityFlags(&app, &flags.security, Side::kBoth);
  AddCommonFlags(&app, &flags.common);
  AddVersionFlag(&app, std::string(kernels::kKernels));
  if (const auto code = ParseCommandLine(&app, argc, argv)) return *code;
  InitLog(flags.common, "learner");
  return Serve(flags);
}

}  // namespace
}  // namespace mentor

int main(int argc, char** argv) {
  mentor::ExplainLimits();
  mentor::BlockStopSignals();
  mentor::EndMain(mentor::Main(argc, argv));
}
