// Assembles the meta-learner: the board that gives shards to learners and, if there is a store,
// the parts that run experiments and serve their users. The owner listens:
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
#include "kernels/device.h"
#include "kernels/device_monitor.h"
#include "meta_learner/control/bundle_service.h"
#include "meta_learner/control/experiment_service.h"
#include "meta_learner/control/logs.h"
#include "meta_learner/experiment/experiment_runner.h"
#include "meta_learner/fleet/shard_board.h"
#include "meta_learner/fleet/shard_service.h"
#include "meta_learner/scheduling/disk_guard.h"
#include "meta_learner/scheduling/scheduler.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

class MetaLearner : private Operations {
 public:
  struct Options {
    // Must outlive the meta-learner. Null: no experiments; callers run shards through board().
    Store* store = nullptr;
    BundleShelf* bundles = nullptr;   // Must outlive it too; null: no bundles.
    int num_threads = 1;              // For the outer updates of all experiments.
    kernels::Device device = {};      // Where outer updates run.
    uint64_t disk_reserve_bytes = 0;  // See DiskGuard.
    uint32_t check_every = 1000;      // See ShardBoard.
    TriedAt::Options retries = {};    // See ShardBoard.
    // Limits of queue and users; MetaLearner sets the objects in these options. Without
    // `control`, no users are served.
    Scheduler::Options scheduling = {};
    std::optional<ExperimentService::Options> control = {};
  };
  // Starts the experiments that the store has queued or left RUNNING.
  MetaLearner(const Options& options, Metrics* metrics);
  ~MetaLearner() override;  // Call after the server of services() has shut down.

  // Names of the services that it may serve, for readiness.
  static std::vector<std::string> ServiceNames();
  std::vector<grpc::Service*> services();
  // The parts of services(), for servers of their own.
  grpc::Service* learner_service() { return shards_.service(); }
  std::vector<grpc::Service*> user_services();
  ShardBoard* board() { return &board_; }

  // Stops running experiments at their last checkpoint; they stay RUNNING in the store. Refuses
  // users as draining, and ends waits for bundles in a bucket. Learners stay connected. Idempotent.
  void StopExperiments();
  // As StopExperiments, and ends the streams of learners. Idempotent.
  void Stop();

 private:
  // For the control API.
  absl::Status CheckRoom() override { return disk_->Check(); }
  void Look(const v1::Experiment& experiment) override { scheduler_->Look(experiment); }
  std::vector<v1::ShardInfo> Shards(const std::string& experiment) override {
    return shards_.Shards(experiment);
  }
  std::vector<v1::Peer> Peers() override { return shards_.Peers(); }
  absl::Status Drain(const std::string& peer) override { return shards_.Drain(peer); }

  // Reports a device that failed, in this process or the previous one.
  void WatchDevice(Metrics* metrics);

  Store* const store_;        // May be null.
  BundleShelf* const shelf_;  // May be null.
  const kernels::Device device_;
  kernels::DeviceMonitor::Handle device_lost_;
  // In order of dependency.
  std::unique_ptr<ExperimentLogs> logs_;  // Before the parts that log about experiments.
  ShardBoard board_;
  ShardService shards_;
  // Null without a store.
  std::unique_ptr<DiskGuard> disk_;
  std::unique_ptr<ExperimentRunner> runner_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<SpecReviewer> specs_;
  std::unique_ptr<ExperimentService> experiments_;
  std::unique_ptr<BundleService> bundles_;
};

}  // namespace mentor::meta_learner
