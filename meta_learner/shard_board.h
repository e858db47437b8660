// Which learner works on which shard, and what came back: the bookkeeping behind ShardBroker,
// without any network. A learner that vanishes loses its shards to others; what belongs to an older
// assignment (fencing epoch) is refused. Thread-safe; sends happen under its lock, so they must be
// quick and must not call back.
#pragma once

#include <atomic>
#include <chrono>
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
#include "mentor/v1/experiment.pb.h"
#include "mentor/v1/shard_service.pb.h"
#include "meta_learner/scheduling/fair_queue.h"

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

  struct Options {
    int attempts_max = 3;  // Of a shard that reports errors.
    FairQueue::Options fairness = {};
  };
  explicit ShardBoard(const Options& options) : options_(options), queue_(options.fairness) {}

  // A learner with room for `slots` shards.
  LearnerId AddLearner(uint32_t slots, Send send);
  // Its shards go back to the head of their experiment's line.
  void RemoveLearner(LearnerId learner);
  // It gets no more shards. False: no such learner.
  bool DrainLearner(LearnerId learner);
  // Messages of a learner in their order. An error is the learner's fault and ends its stream;
  // messages about shards that it has lost are no fault.
  absl::Status OnSegment(LearnerId learner, const v1::Segment& segment);
  absl::Status OnDone(LearnerId learner, const v1::ShardDone& done);
  void OnProgressMessage(LearnerId learner, const v1::ShardProgress& progress);

  // What an experiment is entitled to, from its next shard on; and that it has ended.
  void SetShare(const std::string& experiment, const Share& share);
  void RemoveShare(const std::string& experiment);
  // Environment steps given out for an experiment since the call before.
  uint64_t TakeServed(const std::string& experiment);

  // See ShardBroker::Run.
  absl::StatusOr<std::vector<ShardResult>> Run(std::vector<v1::Shard> shards,
                                               const v1::Tensor& weights,
                                               const std::atomic<bool>& cancel,
                                               const OnProgress& on_progress);
  void Wake();

  // Shards at work and waiting, by number; of one experiment, or of all ("").
  struct ShardState {
    v1::ShardInfo info;
    std::optional<LearnerId> learner;
  };
  std::vector<ShardState> Shards(const std::string& experiment) const;
  struct LearnerState {
    uint32_t shards = 0;
    double env_steps_per_second = 0;
    bool draining = false;
  };
  std::map<LearnerId, LearnerState> Learners() const;

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
    bool draining = false;
    // Steps of its shards since the rate was last computed, and when that was.
    uint64_t new_steps = 0;
    std::chrono::steady_clock::time_point rate_since;
    double env_steps_per_second = 0;
  };

  void AssignLocked();
  void AssignToLocked(LearnerId id, Learner* learner, uint64_t shard_id);
  void ReturnLocked(Job* job);
  void CountStepsLocked(Learner* learner, uint64_t steps);
  void FinishLocked(Job* job);
  // The job when this learner holds this epoch of it.
  Job* FindLocked(LearnerId learner, uint64_t shard_id, uint64_t epoch);
  BrokerProgress ProgressLocked(const Call* call) const;

  const Options options_;
  // Guarded by mutex_.
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint64_t, std::unique_ptr<Job>> jobs_;
  FairQueue queue_;
  std::map<std::string, std::deque<uint64_t>> waiting_;  // By experiment; none is empty.
  std::map<std::string, uint64_t> served_;               // Since TakeServed.
  std::map<LearnerId, Learner> learners_;
  uint64_t next_shard_ = 1;
  uint64_t next_version_ = 1;
  uint64_t next_epoch_ = 1;
  LearnerId next_learner_ = 1;
  Counts counts_;
};

}  // namespace mentor::meta_learner
