// All roles of a run in one process, over gRPC's in-process transport. Started once; ended by its
// destructor, which leaves unfinished experiments RUNNING in the store.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "actor/actor.h"
#include "common/metrics.h"
#include "common/rpc/server.h"
#include "learner/learner.h"
#include "learner/rollout_server.h"
#include "meta_learner/experiment_runner.h"
#include "meta_learner/scheduling/scheduler.h"
#include "meta_learner/shard_broker.h"
#include "meta_learner/store/store.h"

namespace mentor {

// Of this process: simulators and LibTorch.
std::string ExperimentFingerprint();

class Cluster {
 public:
  struct Options {
    int actors = 1;
    int threads_per_actor = 1;
    int learner_threads = 1;  // Of learner and meta-learner.
  };
  // Store and metrics outlive the cluster. Without a store there are no experiments: callers run
  // shards through broker().
  Cluster(const Options& options, meta_learner::ExperimentStore* store, Metrics* metrics);
  ~Cluster();

  // Begins with whatever the store has queued or left RUNNING.
  absl::Status Start();
  // Something was queued.
  void Wake() { scheduler_->Wake(); }
  // It is PAUSING or CANCELLING, or its settings changed.
  void Look(const v1::Experiment& experiment) { scheduler_->Look(experiment); }
  meta_learner::ShardBroker* broker() { return &broker_; }

 private:
  const Options options_;
  meta_learner::ExperimentStore* const store_;
  Metrics* const metrics_;
  // In the order in which they need each other.
  meta_learner::ShardBroker broker_;
  learner::RolloutServer rollout_;
  std::unique_ptr<rpc::Server> meta_server_;
  std::unique_ptr<rpc::Server> learner_server_;
  std::unique_ptr<learner::Learner> learner_;
  std::vector<std::unique_ptr<actor::Actor>> actors_;
  std::unique_ptr<meta_learner::DiskGuard> disk_;
  std::unique_ptr<meta_learner::ExperimentRunner> runner_;
  std::unique_ptr<meta_learner::Scheduler> scheduler_;
};

}  // namespace mentor
