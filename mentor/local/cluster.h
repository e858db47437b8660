// All roles of a run in one process, over gRPC's in-process transport. Started once; ended by its
// destructor, which leaves unfinished experiments RUNNING in the store.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "actor/actor.h"
#include "common/metrics.h"
#include "common/rpc/server.h"
#include "learner/kernels/device.h"
#include "learner/learner.h"
#include "learner/rollout/rollout_server.h"
#include "meta_learner/meta_learner.h"
#include "meta_learner/store/store.h"

namespace mentor {

class Cluster {
 public:
  struct Options {
    int actors = 1;
    int threads_per_actor = 1;
    int learner_threads = 1;      // For learner and meta-learner,
    learner::Device device = {};  // and where they compute.
    // HOST:PORT of the meta-learner; empty: for this process alone.
    std::string listen = "";
    // See MetaLearner::Options.
    std::optional<meta_learner::ExperimentService::Options> control = {};
  };
  // Store and metrics outlive the cluster. Without a store there are no experiments: callers run
  // shards through the meta-learner's broker.
  Cluster(const Options& options, meta_learner::ExperimentStore* store, Metrics* metrics);
  ~Cluster();

  // Begins with whatever the store has queued or left RUNNING.
  absl::Status Start();
  // Once started.
  meta_learner::MetaLearner* meta_learner() { return meta_learner_.get(); }
  const std::string& address() const { return meta_server_->address(); }

 private:
  const Options options_;
  meta_learner::ExperimentStore* const store_;
  Metrics* const metrics_;
  // In the order in which they need each other.
  learner::RolloutServer rollout_;
  std::unique_ptr<meta_learner::MetaLearner> meta_learner_;
  std::unique_ptr<rpc::Server> meta_server_;
  std::unique_ptr<rpc::Server> learner_server_;
  std::unique_ptr<learner::Learner> learner_;
  std::vector<std::unique_ptr<actor::Actor>> actors_;
};

}  // namespace mentor
