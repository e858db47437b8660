// Which learner works on which shard, and what came back: the bookkeeping behind ShardBroker,
// without any network. A learner that vanishes loses its shards to others; what belongs to an older
// assignment (fencing epoch) is refused. Thread-safe; sends happen under its lock, so they must be
// quick and must not call back.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/hash.h"
#include "learner/segment.h"
#include "mentor/v1/shard_service.pb.h"

namespace mentor::meta_learner {

// Everything a learner sent of one shard.
struct ShardResult {
  std::vector<learner::Segment> segments;  // By iteration, shapes checked against the shard.
  v1::PhaseSeconds seconds;
  uint64_t nonfinite_updates = 0;
  v1::Snapshot snapshot;         // When the shard asked for it.
  torch::Tensor outer_gradient;  // [Q] float64; undefined when its inner loop has none.
  std::map<std::string, double> statistics;
};

struct BrokerProgress {
  uint64_t env_steps = 0;  // Of the shards of this call, so far.
  int learners = 0;
  int actors = 0;
};

class ShardBoard {
 public:
  using LearnerId = uint64_t;
  using Send = std::function<bool(v1::RunResponse)>;  // False when the learner is gone.
  using OnProgress = std::function<void(const BrokerProgress&)>;

  // attempts_max: of a shard that reports errors.
  explicit ShardBoard(int attempts_max) : attempts_max_(attempts_max) {}

  // A learner with room for `slots` shards.
  LearnerId AddLearner(uint32_t slots, Send send);
  // Its shards go back to the head of the queue.
  void RemoveLearner(LearnerId learner);
  // Messages of a learner in their order. An error is the learner's fault and ends its stream;
  // messages about shards that it has lost are no fault.
  absl::Status OnSegment(LearnerId learner, const v1::Segment& segment);
  absl::Status OnDone(LearnerId learner, const v1::ShardDone& done);
  void OnProgressMessage(LearnerId learner, const v1::ShardProgress& progress);

  // See ShardBroker::Run.
  absl::StatusOr<std::vector<ShardResult>> Run(std::vector<v1::Shard> shards,
                                               const v1::Tensor& weights,
                                               const std::atomic<bool>& cancel,
                                               const OnProgress& on_progress);
  void Wake();

  struct Counts {
    uint64_t reassigned = 0;  // Shards given to another learner.
    uint64_t refused = 0;     // Messages of an older assignment.
  };
  Counts counts() const;

 private:
  struct Call {
    uint64_t version = 0;
    v1::Tensor weights;
    int open = 0;  // Shards without a result.
    absl::Status status;
  };
  struct Job {
    v1::Shard shard;  // With the epoch of the newest assignment.
    Call* call = nullptr;
    std::optional<LearnerId> learner;
    int errors = 0;
    uint64_t env_steps = 0;
    std::unique_ptr<Sha256> hash;
    ShardResult result;
    bool done = false;
  };
  struct Learner {
    uint32_t slots = 0;
    Send send;
    std::set<uint64_t> shards;
    uint64_t version = 0;  // Of the meta-parameters sent last.
    uint32_t actors = 0;
  };

  void AssignLocked();
  void ReturnLocked(Job* job);
  void FinishLocked(Job* job);
  // The job when this learner holds this epoch of it.
  Job* FindLocked(LearnerId learner, uint64_t shard_id, uint64_t epoch);
  BrokerProgress ProgressLocked(const Call* call) const;

  const int attempts_max_;
  // Guarded by mutex_.
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint64_t, std::unique_ptr<Job>> jobs_;
  std::deque<uint64_t> waiting_;
  std::map<LearnerId, Learner> learners_;
  uint64_t next_shard_ = 1;
  uint64_t next_version_ = 1;
  uint64_t next_epoch_ = 1;
  LearnerId next_learner_ = 1;
  Counts counts_;
};

}  // namespace mentor::meta_learner
