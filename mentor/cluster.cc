#include "mentor/cluster.h"

#include <chrono>
#include <string>

#include "common/check.h"
#include "common/protocol.h"
#include "envs/environment.h"
#include "envs/fingerprint.h"
#include "learner/torch_fingerprint.h"

namespace mentor {
namespace {

constexpr std::chrono::milliseconds kShutdownDeadline{5000};

}  // namespace

std::string ExperimentFingerprint() {
  return envs::NumericFingerprint() + learner::TorchFingerprint();
}

Cluster::Cluster(const Options& options, meta_learner::ExperimentStore* store, Metrics* metrics)
    : options_(options),
      store_(store),
      metrics_(metrics),
      broker_({.catalogue_hash = envs::CatalogueHash(),
               .actor_fingerprint = envs::NumericFingerprint(),
               .learner_fingerprint = learner::TorchFingerprint()},
              metrics),
      rollout_({.catalogue_hash = envs::CatalogueHash(),
                .numeric_fingerprint = envs::NumericFingerprint()},
               metrics) {}

absl::Status Cluster::Start() {
  MENTOR_ASSIGN_OR_RETURN(meta_server_, rpc::Server::Start({.address = ""}, {broker_.service()}));
  MENTOR_ASSIGN_OR_RETURN(learner_server_,
                          rpc::Server::Start({.address = ""}, {rollout_.service()}));
  learner_ = std::make_unique<learner::Learner>(
      learner::Learner::Options{.num_threads = options_.learner_threads,
                                .meta_learner = [this] { return meta_server_->InProcessChannel(); },
                                .rollout = &rollout_},
      metrics_);
  for (int i = 0; i < options_.actors; ++i) {
    actors_.push_back(std::make_unique<actor::Actor>(
        actor::Actor::Options{.threads = options_.threads_per_actor,
                              .channel = [this] { return learner_server_->InProcessChannel(); }},
        metrics_));
  }
  if (store_ == nullptr) return absl::OkStatus();
  disk_ =
      std::make_unique<meta_learner::DiskGuard>(store_->folder(), /*reserve_bytes=*/0, metrics_);
  runner_ = std::make_unique<meta_learner::ExperimentRunner>(
      meta_learner::ExperimentRunner::Options{.store = store_,
                                              .broker = &broker_,
                                              .build = std::string(kBuildVersion),
                                              .fingerprint = ExperimentFingerprint(),
                                              .num_threads = options_.learner_threads,
                                              .metrics = metrics_});
  scheduler_ = std::make_unique<meta_learner::Scheduler>(
      meta_learner::Scheduler::Options{
          .store = store_,
          .broker = &broker_,
          .disk = disk_.get(),
          .run = [this](
                     const v1::Experiment& experiment,
                     const std::atomic<bool>& cancel) { return runner_->Run(experiment, cancel); },
          .running_max = 1},
      metrics_);
  return absl::OkStatus();
}

Cluster::~Cluster() {
  // Clients before their servers, so that nobody misses a peer.
  if (scheduler_ != nullptr) scheduler_->Stop();
  if (learner_ != nullptr) learner_->Stop();
  actors_.clear();
  rollout_.Stop();
  broker_.Stop();
  if (learner_server_ != nullptr) learner_server_->Shutdown(kShutdownDeadline);
  if (meta_server_ != nullptr) meta_server_->Shutdown(kShutdownDeadline);
}

}  // namespace mentor
