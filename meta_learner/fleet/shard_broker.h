// The server of ShardService: connects the streams of learners to a ShardBoard. Thread-safe.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "common/metrics.h"
#include "mentor/v1/shard_service.pb.h"
#include "meta_learner/fleet/shard_board.h"

namespace grpc {
class Service;
}

namespace mentor::meta_learner {

// Returns FAILED_PRECONDITION NUMERIC_MISMATCH, with both arithmetics and what to do.
absl::Status ArithmeticMismatch(const std::string& kept, const std::string& got);

prometheus::Gauge& DeviceLostGauge(Metrics* metrics, const char* whose);

class ShardBroker {
 public:
  struct Options {
    std::string catalogue_hash;       // Actors must have the same.
    std::string actor_fingerprint;    // Actors must have the same.
    std::string learner_fingerprint;  // The CPUs of all learners must have the same.
    // Threads that handle learners' messages. One learner keeps at most one thread busy.
    int ingest_threads = 2;
    ShardBoard::Options board = {};
  };
  ShardBroker(Options options, Metrics* metrics);
  ~ShardBroker();  // Call after the server of service() has shut down.

  grpc::Service* service();

  // Runs all shards with these meta-parameters ([Q] float32) and returns their results in order.
  // Run sets ids, epochs and the version of the weights. Blocks, and calls on_progress (if set)
  // from this thread about once a second. Returns CANCELLED when `cancel` becomes true (see Wake),
  // INTERNAL when a shard fails repeatedly, and FAILED_PRECONDITION when learners vanish with it
  // repeatedly. Several calls may run at once.
  absl::StatusOr<std::vector<ShardResult>> Run(std::vector<v1::Shard> shards,
                                               const v1::Tensor& weights,
                                               const std::atomic<bool>& cancel,
                                               const ShardBoard::OnProgress& on_progress);
  // See ShardBoard.
  void SetShare(const std::string& experiment, const Share& share);
  void RemoveShare(const std::string& experiment);
  Share ShareOf(const std::string& experiment) const { return board_->ShareOf(experiment); }
  std::set<std::string> WithShare() const { return board_->WithShare(); }
  void KeepArithmetic(const std::string& experiment, const std::string& arithmetic,
                      ShardBoard::Keep keep);
  uint64_t TakeServed(const std::string& experiment);
  std::vector<v1::ShardInfo> Shards(const std::string& experiment) const;

  // Returns the memory that connected learners lack for this shard; no shortage if one of them
  // could hold it or none is connected.
  MemoryShortage ShortageOf(const learner::ShardMemory& memory) const;

  // Returns the connected learners, each followed by the actors that it reported last.
  std::vector<v1::Peer> Peers() const;
  // Makes "learners/{uid}" or "actors/{uid}" finish its work and leave. Returns NOT_FOUND if no
  // peer has that name.
  absl::Status Drain(const std::string& peer);

  // Makes Run check its cancel flag now.
  void Wake();
  // Ends all learner streams and refuses new ones as draining.
  void Stop();

 private:
  class Service;
  const std::shared_ptr<ShardBoard> board_;
  const std::unique_ptr<Service> service_;
};

}  // namespace mentor::meta_learner
