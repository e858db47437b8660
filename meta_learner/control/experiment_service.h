// The control API (proto/mentor/v1/experiment_service.proto) over the store. Owned by main;
// outlives the server that it is registered with. Thread-safe.
//
//   ExperimentService experiments({.store = store, .check_spec = CheckParts, ...}, metrics);
//   server = rpc::Server::Start(options, {experiments.service()});
//   ...
//   experiments.Stop();  // Before the server's Shutdown: streams do not end by themselves.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/metrics.h"
#include "common/rpc/rate_limit.h"
#include "common/violations.h"
#include "mentor/v1/experiment.pb.h"
#include "mentor/v1/spec.pb.h"
#include "meta_learner/store/checkpoint.h"
#include "meta_learner/store/store.h"

namespace grpc {
class Service;
}

namespace mentor::meta_learner {

// What an owner may have at once; 0: no limit.
struct Quotas {
  int64_t queued = 0;
  int64_t checkpoint_bytes = 0;
};

class ExperimentService {
 public:
  struct Options {
    ExperimentStore* store = nullptr;
    // Adds violations of what registered parts demand. The spec has legal ranges and every default.
    std::function<void(const v1::ExperimentSpec& spec, Violations* violations)> check_spec = {};
    // The same for a spec that goes on from a checkpoint of another one.
    std::function<void(const v1::ExperimentSpec& source, const v1::ExperimentSpec& spec,
                       const Checkpoint& checkpoint, Violations* violations)>
        check_checkpoint = {};
    // An error while nothing new can be taken, for instance on a full disk.
    std::function<absl::Status()> check_room = {};
    // Something was created.
    std::function<void()> wake = {};
    // This experiment is PAUSING or CANCELLING, or its settings changed: what runs it looks soon.
    std::function<void(const v1::Experiment& experiment)> look = {};
    std::function<std::vector<v1::ShardInfo>(const std::string& experiment)> shards = {};
    std::function<std::vector<v1::Peer>()> peers = {};
    std::function<absl::Status(const std::string& peer)> drain = {};
    int64_t queued_max = 10'000;
    Quotas per_owner = {};
    rpc::RateLimiter::Options rate = {.calls_per_second = 0};  // For each caller; 0: no limit.
    size_t calls_waiting_max = 1000;
    size_t streams_max = 4096;
    size_t streams_per_caller_max = 16;
  };
  ExperimentService(Options options, Metrics* metrics);
  ~ExperimentService();  // Stops.

  grpc::Service* service();
  // Refuses new calls with UNAVAILABLE DRAINING, ends streams with the same, finishes calls in
  // line. Idempotent.
  void Stop();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace mentor::meta_learner
