#include "meta_learner/meta_learner.h"

#include <atomic>
#include <utility>

#include "common/check.h"
#include "common/protocol.h"
#include "envs/environment.h"
#include "envs/fingerprint.h"
#include "learner/torch_fingerprint.h"
#include "meta_learner/control/spec_checks.h"
#include "meta_learner/experiment/fingerprint.h"
#include "meta_learner/experiment/parts.h"

namespace mentor::meta_learner {
namespace {

ShardBroker::Options BrokerOptions(const MetaLearner::Options& options) {
  return {.catalogue_hash = envs::CatalogueHash(),
          .actor_fingerprint = envs::NumericFingerprint(),
          .learner_fingerprint = learner::TorchFingerprint(),
          .board = {.fairness = {.low_share = options.scheduling.low_share}}};
}

}  // namespace

MetaLearner::MetaLearner(const Options& options, Metrics* metrics)
    : broker_(BrokerOptions(options), metrics) {
  if (options.store == nullptr) {
    MENTOR_CHECK(!options.control.has_value());
    return;
  }
  disk_ = std::make_unique<DiskGuard>(options.store->folder(), options.disk_reserve_bytes, metrics);
  runner_ = std::make_unique<ExperimentRunner>(
      ExperimentRunner::Options{.store = options.store,
                                .broker = &broker_,
                                .build = std::string(kBuildVersion),
                                .fingerprint = ExperimentFingerprint(),
                                .num_threads = options.num_threads,
                                .metrics = metrics});
  Scheduler::Options scheduling = options.scheduling;
  scheduling.store = options.store;
  scheduling.broker = &broker_;
  scheduling.disk = disk_.get();
  scheduling.run = [this](const v1::Experiment& experiment, const std::atomic<bool>& cancel) {
    return runner_->Run(experiment, cancel);
  };
  scheduler_ = std::make_unique<Scheduler>(std::move(scheduling), metrics);
  if (!options.control) return;
  ExperimentService::Options control = ControlOptions(*options.control);
  control.store = options.store;
  experiments_ = std::make_unique<ExperimentService>(std::move(control), metrics);
}

ExperimentService::Options MetaLearner::ControlOptions(ExperimentService::Options limits) {
  limits.check_spec = RememberValid(CheckParts);
  limits.check_checkpoint = CheckCheckpoint;
  limits.check_room = [this] { return disk_->Check(); };
  limits.wake = [this] { scheduler_->Wake(); };
  limits.look = [this](const v1::Experiment& experiment) { scheduler_->Look(experiment); };
  limits.shards = [this](const std::string& experiment) { return broker_.Shards(experiment); };
  limits.peers = [this] { return broker_.Peers(); };
  limits.drain = [this](const std::string& peer) { return broker_.Drain(peer); };
  return limits;
}

MetaLearner::~MetaLearner() {
  Stop();
}

std::vector<std::string> MetaLearner::ServiceNames() {
  return {"mentor.v1.ExperimentService", "mentor.v1.ShardService"};
}

std::vector<grpc::Service*> MetaLearner::services() {
  std::vector<grpc::Service*> services = {broker_.service()};
  if (experiments_ != nullptr) services.push_back(experiments_->service());
  return services;
}

void MetaLearner::StopExperiments() {
  if (scheduler_ != nullptr) scheduler_->Stop();
  if (experiments_ != nullptr) experiments_->Stop();
}

void MetaLearner::Stop() {
  StopExperiments();
  broker_.Stop();
}

}  // namespace mentor::meta_learner
