// Which learner works on which shard, and what came back: the bookkeeping behind ShardBroker,
// without any network. A learner that vanishes loses its shards to others; what belongs to an older
// assignment (fencing epoch) is refused. One that holds a shard and gets nowhere with it loses it
// to a free one, a shard that failed is tried elsewhere first, and a learner that does such things
// again and again is kept away for a while (common/standing.h). Nobody gets a shard that his memory
// does not hold beside what he has, nor one whose environment's host none of his actors offers, and
// one shard of many is computed twice, by two learners (shard_audit.h). Thread-safe; sends happen
// under its lock, so they must be quick and must not call back.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/fair_queue.h"
#include "common/hash.h"
#include "common/mutex.h"
#include "common/standing.h"
#include "learner/agents/segment.h"
#include "learner/shard_memory.h"
#include "mentor/v1/experiment.pb.h"
#include "mentor/v1/shard_service.pb.h"
#include "meta_learner/fleet/shard_audit.h"

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

// What no learner has enough of.
struct MemoryShortage {
  bool of_device = false;         // Else of its process.
  uint64_t needed = 0, most = 0;  // By a shard; what the largest learner has. 0: no shortage.
};

struct BrokerProgress {
  uint64_t env_steps = 0;  // By the shards of this call, so far.
  // Learners whose arithmetic the experiment takes.
  int learners = 0;
  int actors = 0;
  // The arithmetic that the experiment keeps to; empty: whichever comes first.
  std::string arithmetic = {};
  MemoryShortage memory = {};  // Of a shard that waits and that none of the learners could hold.
  // A host that a shard waits for: none of its learner's actors offers it, or no learner's.
  std::string missing_host = {};
  // Two learners gave other bits for the same shard.
  bool diverged = false;
};

// For people, behind what is under way: ": waiting for learners of kind cpu 0b5c...", ": waiting
// for actors"; empty when nothing is missing.
std::string WaitingFor(const BrokerProgress& progress);
// "1.5 GB" or "1.5 MB", for people.
std::string Gigabytes(uint64_t bytes);

// For the history of an experiment.
struct ShardEvent {
  const char* name;      // "learner_left", for programs.
  const char* sentence;  // The same for people.
  std::string learner;
  std::string detail = {};
};

// A learner as its hello has it.
struct LearnerInfo {
  uint32_t slots = 0;     // Shards at once.
  std::string name = {};  // For people.
  std::string host = {};
  // What it computes with: "cpu 0b5c...", a device and the hash of its results.
  std::string arithmetic = {};
  uint64_t memory_bytes = 0;  // For its process and all its shards; 0: no limit.
  uint32_t threads = 1;
  // Shards take memory of a device, and that may be the process's.
  bool has_device = false, device_in_memory = false;
  uint64_t device_memory_bytes = 0;  // For all its shards; 0: no limit.

  // What a shard takes there.
  learner::LearnerMemory Of(const learner::ShardMemory& shard) const {
    const uint64_t device = has_device ? shard.device_bytes : 0;
    return {.bytes = shard.With(threads) + (device_in_memory ? device : 0), .device_bytes = device};
  }
  // Whether shards that take so much go into its memory.
  bool Holds(const learner::LearnerMemory& shards) const {
    return HoldsInProcess(shards) &&
           (device_memory_bytes == 0 || shards.device_bytes <= device_memory_bytes);
  }
  bool HoldsInProcess(const learner::LearnerMemory& shards) const {
    return memory_bytes == 0 || learner::kLearnerProcessBytes + shards.bytes <= memory_bytes;
  }
};

class ShardBoard {
 public:
  using LearnerId = uint64_t;
  using Send = std::function<bool(v1::RunResponse)>;  // False when the learner is gone.
  static constexpr const char* kStalled = "it got nowhere with a shard";
  static constexpr const char* kFailed = "it failed with a shard that another one could do";
  static constexpr const char* kBroke = "it sent what does not fit its shard";
  static constexpr const char* kDiverged = "another one has other bits for the same shard";
  using OnProgress = std::function<void(const BrokerProgress&)>;

  struct Options {
    // A shard fails its call when there are no learners left that have not tried, and it failed on
    // errors_max hosts, or is given up; in any case when it failed on four times as many hosts.
    TriedAt::Options retries = {};
    // A shard moves to a free learner when it has made no progress for
    // max(stall_min, stall_factor x the longest time without progress in shards of its experiment);
    // twice that the next time.
    std::chrono::nanoseconds stall_min = std::chrono::seconds(60);
    double stall_factor = 8;
    // A shard whose host has gone from its learner waits there for so long; then it makes place for
    // others, or moves.
    std::chrono::nanoseconds host_wait = std::chrono::seconds(10);
    // A shard whose learners vanish is given to learners with nothing else to do after
    // `losses_suspected`, and fails its call after `losses_max`: it may need more memory than they
    // have. A learner that comes back, or said that it leaves, has not vanished, as long as this
    // happens no more than `returns_max` times to one shard.
    int losses_suspected = 2, losses_max = 8, returns_max = 32;
    Standing::Options standing = {};
    // One shard of so many is computed again by another learner before its results are used. 0:
    // never.
    uint32_t check_every = 1000;
    // Shards that take longer than this make no place for others soon: an experiment with less than
    // its part of a learner's slots then gets a place beyond them, where memory allows it.
    std::chrono::nanoseconds slow_after = std::chrono::seconds(1);
    // Of a learner. One owner's shards take no more than half of them beside its slots.
    uint32_t extra_places = 6;
    // What a shard needs, with so many meta-parameters; empty: learner::MemoryOf.
    std::function<learner::ShardMemory(const v1::Shard&, int64_t num_meta_parameters)> memory_of =
        nullptr;
    // Results of one shard differ. Under the board's lock, like Send.
    std::function<void(const std::string& experiment, const std::vector<std::string>& learners)>
        on_divergence = nullptr;
    // A learner did badly at what others can do; the last word says whether it gets no work for a
    // while from now on. Under the board's lock, like Send.
    std::function<void(const LearnerInfo&, const char* why, bool quarantined)> on_strike = nullptr;
    // What happened to learners and shards of an experiment at work, for its history. Under the
    // board's lock, like Send.
    std::function<void(const std::string& experiment, const ShardEvent&)> on_event = nullptr;
    FairQueue::Options fairness = {};
    // Once for each learner and experiment that keeps to another arithmetic, when a shard of it
    // waits. Under the board's lock, like Send.
    std::function<void(const LearnerInfo&, const std::string& experiment,
                       const std::string& arithmetic)>
        on_mismatch = nullptr;
    // For the rates of learners; empty: the monotonic clock.
    std::function<std::chrono::steady_clock::time_point()> now = nullptr;
  };
  explicit ShardBoard(const Options& options) : options_(options), queue_(options.fairness) {}

  LearnerId AddLearner(LearnerInfo info, Send send);
  // Its shards go back to the head of their experiment's line.
  void RemoveLearner(LearnerId learner);
  // It gets no more shards. False: no such learner.
  bool DrainLearner(LearnerId learner);
  // It gets no more shards, and leaves.
  void OnDeviceLost(LearnerId learner, const std::string& reason);
  // It was told to end. It gets no more shards, and what it holds did not make it vanish.
  void OnLeaving(LearnerId learner);
  // Messages of a learner in their order. An error is the learner's fault and ends its stream;
  // messages about shards that it has lost are not a fault.
  absl::Status OnSegment(LearnerId learner, const v1::Segment& segment);
  absl::Status OnDone(LearnerId learner, const v1::ShardDone& done);
  void OnProgressMessage(LearnerId learner, const v1::ShardProgress& progress);
  // Actors of a learner, also while it has no shard, and the hosts that they offer
  // (common/hosts.h).
  void OnActors(LearnerId learner, uint32_t actors, std::set<std::string> hosts = {});

  // Sets what an experiment is entitled to, from its next shard on; or says that it has ended.
  void SetShare(const std::string& experiment, const Share& share);
  void RemoveShare(const std::string& experiment);
  // The default one where none was set.
  Share ShareOf(const std::string& experiment) const;
  std::set<std::string> WithShare() const;
  // Environment steps given out for an experiment since the call before.
  uint64_t TakeServed(const std::string& experiment);

  // From its next call of Run on, shards of an experiment go to learners of one arithmetic only:
  // `arithmetic`, or, if that is empty, that of the learner which gets the first one. In that case
  // Run calls `keep` with it before it returns the first results; an error of `keep` becomes Run's.
  // Lasts until RemoveShare.
  using Keep = std::function<absl::Status(const std::string& arithmetic)>;
  void KeepArithmetic(const std::string& experiment, const std::string& arithmetic, Keep keep);

  // See ShardBroker::Run.
  absl::StatusOr<std::vector<ShardResult>> Run(std::vector<v1::Shard> shards,
                                               const v1::Tensor& weights,
                                               const std::atomic<bool>& cancel,
                                               const OnProgress& on_progress);
  // Looks now at what time has changed, and lets Run look at its cancel flag.
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
    bool quarantined = false;
    uint32_t strikes = 0;
    uint64_t memory_needed = 0;  // By what it holds, and its process.
    uint64_t device_memory_needed = 0;
    std::string refusal = {};  // Why it gets no shards of some experiments, for people.
  };
  // Rates are over the time since they were last computed, if that was some seconds ago.
  std::map<LearnerId, LearnerState> Learners();

  // See ShardBroker.
  MemoryShortage ShortageOf(const learner::ShardMemory& memory) const;

  struct Counts {
    uint64_t reassigned = 0;  // Shards given to another learner.
    uint64_t refused = 0;     // Messages of an older assignment.
    uint64_t stalled = 0;     // Shards taken from learners that got nowhere with them.
    uint64_t quarantines = 0;
    uint64_t audited = 0;      // Shards of which two learners have the same bits.
    uint64_t divergences = 0;  // Results that differ from another learner's of that shard.
  };
  Counts counts() const;

 private:
  struct Call {
    uint64_t version = 0;
    std::string experiment;
    v1::Tensor weights;
    int open = 0;  // Shards without a result.
    bool diverged = false;
    absl::Status status;
  };
  struct LossesAt {
    int count = 0;
    LearnerId last = 0;
  };
  struct Job {
    std::shared_ptr<const v1::Shard> shard;  // Without an epoch.
    uint64_t epoch = 0;                      // Of the newest assignment.
    Call* call = nullptr;
    std::optional<LearnerId> learner;
    learner::ShardMemory memory;
    int stalls = 0, losses = 0, returns = 0;
    std::map<std::string, LossesAt> lost_at = {};  // By host.
    // By learner: how often at which host.
    std::map<std::string, std::map<std::string, int>> lost_by = {};
    TriedAt failed_at;                       // Learners with which it failed or stalled, by name.
    std::set<std::string> error_hosts = {};  // Of those that reported errors.
    std::chrono::nanoseconds given{0};       // When it was given out.
    std::chrono::nanoseconds progressed{0};  // When it last got further, or was given out.
    std::chrono::nanoseconds longest_gap{0};
    uint64_t env_steps = 0;        // As far as its learner says; never back.
    uint64_t counted_steps = 0;    // Those when it last got further.
    std::shared_ptr<Sha256> hash;  // Of the segments of the assignment.
    std::string work = {};         // What it computes, for histories.
    ShardResult result;
    ShardAudit<ShardResult> audit;
    std::set<std::string> hosts = {};  // That its units need.
    std::string missing_host = {};     // That its learner's actors lack, as it says.
    // Since when its learner has lacked one.
    std::optional<std::chrono::nanoseconds> hostless_since = {};
    bool done = false;
  };
  // What an experiment's shards are computed with.
  struct Arithmetic {
    std::string name;  // Empty: not decided.
    // Decided for good. Before that it holds while a learner has a shard of the experiment, or a
    // result waits for its call to end.
    bool kept = false;
    int shards = 0;  // Such shards and results.
    Keep keep;
  };
  struct Learner {
    LearnerInfo info;
    Send send;
    std::set<std::string> mismatched = {};  // Experiments that it was told to on_mismatch about.
    std::set<uint64_t> shards = {};
    uint64_t version = 0;  // Version of the meta-parameters sent last.
    uint32_t actors = 0;
    std::set<std::string> hosts = {};  // That these offer.
    bool draining = false;
    bool broken = false;   // Its stream ends for what it sent.
    bool leaving = false;  // It was told to end.
    Standing standing;
    // Steps of its shards since the rate was last computed, and when that was.
    uint64_t new_steps = 0;
    std::chrono::steady_clock::time_point rate_since = {};
    double env_steps_per_second = 0;
  };

  // shard_assignment.cc: who gets what.
  void AssignLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Those that may have a place of a learner whose slots are taken.
  std::set<std::string> BeyondSlotsLocked(const Learner& learner,
                                          const std::set<std::string>& ready) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // One turn of a learner; false when it gets nothing.
  bool GiveNextLocked(LearnerId id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The process is alive: its machine slept, or the network was away. No shard made it vanish.
  void ForgiveLossesLocked(const LearnerInfo& info) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string OwnerOfLocked(const Job& job) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Gives a shard whose learners vanished to one that has nothing else to do. Returns the learner
  // that has it, or is to finish what it holds first: that one gets nothing else.
  std::optional<LearnerId> ReserveForSuspectsLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsSuspected(const Job& job) const { return job.losses >= options_.losses_suspected; }
  // Of what the learner holds; where an owner is named, without that owner's shards.
  learner::LearnerMemory MemoryHeldLocked(const Learner& learner,
                                          const std::string* but_owner = nullptr) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Beside what it holds.
  bool HasRoomLocked(const Learner& learner, const Job& job,
                     const std::string* but_owner = nullptr) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A host that the job needs and the learner's actors lack; empty: none.
  static std::string MissingHost(const Learner& learner, const Job& job);
  // The same where no learner has all; empty: one has, or there is none at all.
  std::string HostNowhereLocked(const Job& job) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether this learner could ever get this shard: its arithmetic, its memory, its hosts, its
  // standing.
  bool CouldRunLocked(const Learner& learner, const Job& job) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What learners that `fits` lack for a shard.
  template <class Fits>
  MemoryShortage ShortageLocked(const learner::ShardMemory& memory, const Fits& fits) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteMemoryLocked(BrokerProgress* progress, const Call* call) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string RefusalLocked(const Learner& learner) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Audits. True when the shard's result is not to be used yet.
  bool AuditLocked(Job* job, const Learner& learner, const v1::ShardDone& done)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool CanBeAuditedLocked(const Job& job) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Shards that wait for another learner's opinion when there is none: they have their result.
  void SettleAuditsLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DivergedLocked(Job* job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // From its experiment's line.
  void GiveLocked(LearnerId id, uint64_t shard) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Experiments with shards that this learner may have.
  std::set<std::string> ReadyLocked(Learner* learner) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool FitsLocked(const Learner& learner, const std::string& experiment) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool KeptAwayLocked(const Learner& learner) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the learner may have this shard of an experiment that fits it.
  bool MayHaveLocked(const Learner& learner, const Job& job) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the learner may try this job after those that have.
  bool MayTryLocked(const Learner& learner, const Job& job) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether a learner could run the job that has not failed with it.
  bool CanBeTriedElsewhereLocked(const Job& job) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StrikeLocked(Learner* learner, const char* why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AdvancedLocked(Job* job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::chrono::nanoseconds StallAfterLocked(const Job& job) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether a learner other than the job's could begin with it now.
  bool IsFreeElsewhereLocked(const Job& job) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes stalled shards away where a free learner could have them.
  void MoveStalledLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // And those that wait for a host, where that helps them or others.
  void MoveHostlessLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // From its learner into its experiment's line.
  void TakeBackLocked(Job* job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FailLocked(Job* job, const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // For one experiment, or for all at work ("").
  void TellLocked(const std::string& experiment, const ShardEvent& event)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A learner or a call no longer has this shard.
  void LetGoLocked(const std::string& experiment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AssignToLocked(LearnerId id, Learner* learner, uint64_t shard_id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReturnLocked(Job* job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::chrono::nanoseconds NowNs() const { return Now().time_since_epoch(); }
  std::chrono::steady_clock::time_point Now() const {
    return options_.now ? options_.now() : std::chrono::steady_clock::now();
  }
  void CountStepsLocked(Learner* learner, uint64_t steps) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status TakeSegment(LearnerId learner, const v1::Segment& segment);
  absl::Status TakeDone(LearnerId learner, const v1::ShardDone& done);
  // The same status, with a strike when it is an error.
  absl::Status Judge(LearnerId learner, absl::Status status);
  // What came with the end of a shard, into its result.
  absl::Status TakeDoneLocked(Job* job, const v1::ShardDone& done)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnErrorLocked(Job* job, Learner* learner, const v1::ShardDone& done)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FinishLocked(Job* job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The job when this learner holds this epoch of it.
  Job* FindLocked(LearnerId learner, uint64_t shard_id, uint64_t epoch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  BrokerProgress ProgressLocked(const Call* call) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  // Guarded by mutex_.
  mutable Mutex mutex_;
  CondVar changed_;
  std::map<uint64_t, std::unique_ptr<Job>> jobs_ ABSL_GUARDED_BY(mutex_);
  FairQueue queue_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> at_work_ ABSL_GUARDED_BY(mutex_);  // Experiments with a share.
  std::map<std::string, std::deque<uint64_t>> waiting_
      ABSL_GUARDED_BY(mutex_);                                      // By experiment; none is empty.
  std::map<std::string, uint64_t> served_ ABSL_GUARDED_BY(mutex_);  // Since TakeServed.
  // The longest time without progress in finished shards, by experiment.
  std::map<std::string, std::chrono::nanoseconds> gaps_ ABSL_GUARDED_BY(mutex_);
  // By experiment and kind of shard: see CheckShardDone.
  std::map<std::pair<std::string, std::string>, std::string> snapshot_forms_
      ABSL_GUARDED_BY(mutex_);
  // How far learners that went with strikes are trusted when they come back, by name.
  DepartedStandings departed_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Arithmetic> arithmetics_ ABSL_GUARDED_BY(mutex_);  // By experiment.
  std::map<LearnerId, Learner> learners_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_shard_ ABSL_GUARDED_BY(mutex_) = 1;
  uint64_t next_version_ ABSL_GUARDED_BY(mutex_) = 1;
  uint64_t next_epoch_ ABSL_GUARDED_BY(mutex_) = 1;
  LearnerId next_learner_ ABSL_GUARDED_BY(mutex_) = 1;
  Counts counts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::meta_learner
