// The meta-learner's process around its parts: the broker that gives shards to learners and, over a
// store, whatever runs experiments and serves their users. Whoever owns it listens:
//
//   MetaLearner meta_learner({.store = store, .control = limits}, metrics);
//   server = rpc::Server::Start(options, meta_learner.services());
//   ...
//   meta_learner.Stop();  // Before the server's Shutdown: streams do not end by themselves.
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/metrics.h"
#include "learner/kernels/device.h"
#include "learner/kernels/device_monitor.h"
#include "meta_learner/control/bundle_service.h"
#include "meta_learner/control/experiment_service.h"
#include "meta_learner/control/logs.h"
#include "meta_learner/experiment/experiment_runner.h"
#include "meta_learner/fleet/shard_broker.h"
#include "meta_learner/scheduling/disk_guard.h"
#include "meta_learner/scheduling/scheduler.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

class MetaLearner {
 public:
  struct Options {
    // Outlives the meta-learner. Null: no experiments; callers run shards through broker().
    ExperimentStore* store = nullptr;
    BundleShelf* bundles = nullptr;   // Outlives it too; null: specs name none.
    int num_threads = 1;              // For outer updates of all experiments,
    learner::Device device = {};      // and where they run.
    uint64_t disk_reserve_bytes = 0;  // See DiskGuard.
    uint32_t check_every = 1000;      // See ShardBoard.
    TriedAt::Options retries = {};    // See ShardBoard.
    // Limits of queue and users; the parts that these options name are set here. Without `control`
    // nobody is served.
    Scheduler::Options scheduling = {};
    std::optional<ExperimentService::Options> control = {};
  };
  // Begins with whatever the store has queued or left RUNNING.
  MetaLearner(const Options& options, Metrics* metrics);
  ~MetaLearner();  // After the server that serves services() has shut down.

  // What it may serve, for readiness.
  static std::vector<std::string> ServiceNames();
  std::vector<grpc::Service*> services();
  ShardBroker* broker() { return &broker_; }

  // Running experiments end at their last checkpoint and stay RUNNING in the store; users are
  // refused as draining, and nobody waits for bundles of a bucket. Learners stay. Idempotent.
  void StopExperiments();
  // That, and the streams of learners end. Idempotent.
  void Stop();

 private:
  ExperimentService::Options ControlOptions(ExperimentService::Options limits);
  // Tells of a device that failed, here or in the process before.
  void WatchDevice(Metrics* metrics);

  ExperimentStore* const store_;  // May be null,
  BundleShelf* const shelf_;      // and so may this.
  const learner::Device device_;
  learner::DeviceMonitor::Handle device_lost_;
  // In the order in which they need each other.
  std::unique_ptr<ExperimentLogs> logs_;  // Before whoever says what an experiment does.
  ShardBroker broker_;
  // Null without a store.
  std::unique_ptr<DiskGuard> disk_;
  std::unique_ptr<ExperimentRunner> runner_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<ExperimentService> experiments_;
  std::unique_ptr<BundleService> bundles_;
};

}  // namespace mentor::meta_learner
