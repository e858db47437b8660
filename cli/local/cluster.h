// All roles of a run in one process, over gRPC's in-process transport. Start may be called once.
// The destructor leaves unfinished experiments RUNNING in the store.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "actor/actor.h"
#include "common/metrics.h"
#include "common/rpc/server.h"
#include "envs/benchmark.h"
#include "kernels/device.h"
#include "learner/learner.h"
#include "learner/rollout/rollout_server.h"
#include "meta_learner/meta_learner.h"
#include "meta_learner/store/store.h"

namespace mentor {

// Checks the simulators that the benchmark's tasks need: here nobody else can bring them.
// FAILED_PRECONDITION with the flag to add where --simulator does not offer one.
absl::Status CheckSimulators(const envs::Benchmark& benchmark);

class Cluster {
 public:
  struct Options {
    int actors = 1;
    int threads = 1;              // Each actor, the learner and the meta-learner have as many.
    kernels::Device device = {};  // Device of the learner and of the meta-learner.
    // See MetaLearner::Options. Users come to HOST:PORT of `listen`; learners only from this
    // process.
    std::string listen = "";
    std::optional<meta_learner::ExperimentService::Options> control = {};
    meta_learner::BundleShelf* bundles = nullptr;
  };
  // Store and metrics must outlive the cluster. Without a store there are no experiments: callers
  // run shards through the meta-learner's board.
  Cluster(const Options& options, meta_learner::Store* store, Metrics* metrics);
  ~Cluster();

  // Starts all roles. Experiments that the store has QUEUED or RUNNING begin.
  absl::Status Start();
  // Valid after Start.
  meta_learner::MetaLearner* meta_learner() { return meta_learner_.get(); }
  // Valid after Start with `control`.
  const std::string& address() const { return user_server_->address(); }

 private:
  const Options options_;
  meta_learner::Store* const store_;
  Metrics* const metrics_;
  // Members in order of their dependencies.
  learner::RolloutServer rollout_;
  std::unique_ptr<meta_learner::MetaLearner> meta_learner_;
  std::unique_ptr<rpc::Server> meta_server_;
  std::unique_ptr<rpc::Server> user_server_;  // Null without `control`.
  std::unique_ptr<rpc::Server> learner_server_;
  std::unique_ptr<learner::Learner> learner_;
  std::vector<std::unique_ptr<actor::Actor>> actors_;
};

}  // namespace mentor
