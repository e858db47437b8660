// Gives shards to learners and gathers their segments: the meta-learner's end of ShardService. A learner that vanishes
// loses its shards to others; results of an older assignment (fencing epoch) are refused. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/metrics.h"
#include "learner/segment.h"
#include "mentor/v1/shard_service.pb.h"

namespace grpc {
class Service;
}

namespace mentor::meta_learner {

// Everything a learner sent of one shard.
struct ShardResult {
  std::vector<learner::Segment> segments;  // By iteration, shapes checked against the shard.
  v1::PhaseSeconds seconds;
  uint64_t nonfinite_updates = 0;
};

struct BrokerProgress {
  uint64_t env_steps = 0;  // Of the shards of this call, so far.
  int learners = 0;
  int actors = 0;
};

class ShardBroker {
 public:
  struct Options {
    std::string build;
    std::string catalogue_hash;       // Actors must have the same.
    std::string actor_fingerprint;    // Actors must have the same; empty: any.
    std::string learner_fingerprint;  // Learners on the CPU must have the same.
    int attempts_max = 3;             // Of a shard that reports errors.
  };
  ShardBroker(Options options, prometheus::Registry* registry);
  ~ShardBroker();

  grpc::Service* service();

  // Runs all shards and returns their results in order. Blocks; about once a second it calls on_progress (when set) from
  // this thread. CANCELLED when *cancel becomes true (see Wake). Several calls may run at once.
  absl::StatusOr<std::vector<ShardResult>> Run(std::vector<v1::Shard> shards, const v1::SignalWeights& weights,
                                               const std::atomic<bool>& cancel,
                                               const std::function<void(const BrokerProgress&)>& on_progress);
  // Makes Run look at its cancel flag now.
  void Wake();
  // No more work; learners are told to drain.
  void Stop();

 private:
  class Impl;
  const std::shared_ptr<Impl> impl_;  // Streams hold weak pointers to it.
};

}  // namespace mentor::meta_learner
