// The server of ShardService (proto/mentor/v1/shard_service.proto): connects the streams of
// learners to a ShardBoard. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "common/metrics.h"
#include "mentor/v1/experiment.pb.h"
#include "meta_learner/fleet/shard_board.h"

namespace grpc {
class Service;
}

namespace mentor::meta_learner {

prometheus::Gauge& DeviceLostGauge(Metrics* metrics, const char* whose);

class ShardService {
 public:
  struct Options {
    std::string catalogue_hash;       // Actors must have the same.
    std::string actor_fingerprint;    // Actors must have the same.
    std::string learner_fingerprint;  // The CPUs of all learners must have the same.
    // Threads that handle learners' messages. One learner keeps at most one thread busy.
    int ingest_threads = 2;
  };
  // The board must outlive the service.
  ShardService(Options options, ShardBoard* board, Metrics* metrics);
  ~ShardService();  // Call after the server of service() has shut down.

  grpc::Service* service();

  // Returns the board's shards, with the names of their learners.
  std::vector<v1::ShardInfo> Shards(const std::string& experiment) const;
  // Returns the connected learners, each followed by the actors that it reported last.
  std::vector<v1::Peer> Peers() const;
  // Makes "learners/{uid}" or "actors/{uid}" finish its work and leave. Returns NOT_FOUND if no
  // peer has that name.
  absl::Status Drain(const std::string& peer);
  // Ends all learner streams and refuses new ones as draining.
  void Stop();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace mentor::meta_learner
