// The meta-learner's end of ShardService: streams of learners around a ShardBoard. Thread-safe.
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

// FAILED_PRECONDITION NUMERIC_MISMATCH: what both sides have and what to do.
absl::Status ArithmeticMismatch(const std::string& kept, const std::string& got);

prometheus::Gauge& DeviceLostGauge(Metrics* metrics, const char* whose);

class ShardBroker {
 public:
  struct Options {
    std::string catalogue_hash;       // Actors must have the same.
    std::string actor_fingerprint;    // Actors must have the same.
    std::string learner_fingerprint;  // The CPUs of all learners must have the same.
    // For what learners send: each of them at most keeps one thread busy.
    int ingest_threads = 2;
    ShardBoard::Options board = {};
  };
  ShardBroker(Options options, Metrics* metrics);
  ~ShardBroker();  // After the server that serves service() has shut down.

  grpc::Service* service();

  // Runs all shards with these meta-parameters ([Q] float32) and returns their results in order. It
  // gives ids, epochs and the version of the weights itself. Blocks; about once a second it calls
  // on_progress (when set) from this thread. CANCELLED when *cancel becomes true (see Wake);
  // INTERNAL when a shard fails again and again. Several calls may run at once.
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

  // What those that are connected lack for this shard; nothing when one of them could hold it or
  // none is connected.
  MemoryShortage ShortageOf(const learner::ShardMemory& memory) const;

  // Learners that are connected, each followed by its actors as it reported them last.
  std::vector<v1::Peer> Peers() const;
  // "learners/{uid}" or "actors/{uid}": it finishes what it holds and leaves. NOT_FOUND when nobody
  // has that name.
  absl::Status Drain(const std::string& peer);

  // Makes Run look at its cancel flag now.
  void Wake();
  // Ends all streams of learners; later ones are refused as draining.
  void Stop();

 private:
  class Service;
  const std::shared_ptr<ShardBoard> board_;
  const std::unique_ptr<Service> service_;
};

}  // namespace mentor::meta_learner
