// The server of ShardService (proto/mentor/v1/shard_service.proto): connects the streams of
// learners to a ShardBoard. Thread-safe.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/time/time.h>

#include "common/metrics.h"
#include "mentor/v1/experiment.pb.h"
#include "mentor/v1/shard_service.pb.h"
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

// ---- What a learner reports about its actors (actor_reports.cc). Reports are shown to people, and
// actors can be drained by name, so the texts keep to the bounds of a Hello. A learner's own Hello
// is checked in common/protocol.h.

// Most actors of one learner.
inline constexpr int kActorsMax = 10'000;

struct ActorReports {
  std::vector<v1::Peer> actors;
  size_t left_out = 0;
  std::string why;  // Error of the first actor left out.
};

// Returns the actors with a unique name actors/UID and plain texts. Numbers and times that make no
// sense at `now` are clamped or dropped. Counts the other actors in left_out.
ActorReports CheckedActors(const v1::FleetReport& fleet, absl::Time now);

}  // namespace mentor::meta_learner
