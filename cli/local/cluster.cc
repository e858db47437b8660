#include "cli/local/cluster.h"

#include <chrono>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/hosts.h"
#include "envs/environment.h"
#include "envs/fingerprint.h"
#include "envs/host/host_list.h"
#include "kernels/device_monitor.h"

namespace mentor {
namespace {

constexpr std::chrono::milliseconds kShutdownDeadline{5000};
// Without waiting: no other peer will join that could succeed after a failure.
constexpr TriedAt::Options kTryAtOnce = {.wait_min = {}, .span = {}};

}  // namespace

absl::Status CheckSimulators(const envs::Benchmark& benchmark) {
  for (const envs::Split split : {envs::Split::kTrain, envs::Split::kTest}) {
    for (const envs::TaskSet& set : benchmark.Tasks(split)) {
      const std::string name =
          HostOf(set.tasks.empty() ? set.draw({.purpose = Purpose::kTasks}, 0) : set.tasks[0]);
      if (name.empty() || envs::FindSimulator(name)) continue;
      return absl::FailedPreconditionError(absl::StrFormat(
          "--simulator %s=COMMAND: is missing; environment %s is simulated by another program, and "
          "nobody else can offer it here",
          name, set.name));
    }
  }
  return absl::OkStatus();
}

Cluster::Cluster(const Options& options, meta_learner::Store* store, Metrics* metrics)
    : options_(options),
      store_(store),
      metrics_(metrics),
      rollout_({.catalogue_hash = envs::CatalogueHash(),
                .numeric_fingerprint = envs::NumericFingerprint(),
                .dispatcher = {.retries = kTryAtOnce}},
               metrics) {
  if (options.device.monitor != nullptr) options.device.monitor->Expose(metrics);
}

absl::Status Cluster::Start() {
  meta_learner_ = std::make_unique<meta_learner::MetaLearner>(
      meta_learner::MetaLearner::Options{.store = store_,
                                         .bundles = options_.bundles,
                                         .num_threads = options_.threads,
                                         .device = options_.device,
                                         .retries = kTryAtOnce,
                                         .scheduling = {.running_max = 1},
                                         .control = options_.control},
      metrics_);
  MENTOR_ASSIGN_OR_RETURN(meta_server_,
                          rpc::Server::Start({.address = ""}, {meta_learner_->learner_service()}));
  if (options_.control) {
    MENTOR_ASSIGN_OR_RETURN(user_server_, rpc::Server::Start({.address = options_.listen},
                                                             meta_learner_->user_services()));
  }
  MENTOR_ASSIGN_OR_RETURN(learner_server_,
                          rpc::Server::Start({.address = ""}, {rollout_.service()}));
  learner_ = std::make_unique<learner::Learner>(
      learner::Learner::Options{.num_threads = options_.threads,
                                // No limit: no other learner could take the shard, so `mentor run`
                                // only warns.
                                .memory_bytes = 0,
                                .device = options_.device,
                                .meta_learner = [this] { return meta_server_->InProcessChannel(); },
                                .rollout = &rollout_},
      metrics_);
  for (int i = 0; i < options_.actors; ++i) {
    actors_.push_back(std::make_unique<actor::Actor>(
        actor::Actor::Options{.threads = options_.threads,
                              .channel = [this] { return learner_server_->InProcessChannel(); }},
        metrics_));
  }
  return absl::OkStatus();
}

Cluster::~Cluster() {
  // Stop clients before their servers, so that no client sees a lost peer.
  if (meta_learner_ != nullptr) meta_learner_->StopExperiments();
  if (learner_ != nullptr) learner_->Stop();
  actors_.clear();
  rollout_.Stop();
  if (meta_learner_ != nullptr) meta_learner_->Stop();
  if (learner_server_ != nullptr) learner_server_->Shutdown(kShutdownDeadline);
  if (user_server_ != nullptr) user_server_->Shutdown(kShutdownDeadline);
  if (meta_server_ != nullptr) meta_server_->Shutdown(kShutdownDeadline);
}

}  // namespace mentor
