// Gives shards to learners and collects the results, without any network (shard_service.h has the
// streams). A learner that vanishes loses its shards to others. Messages of an older assignment
// (fencing epoch) are refused. A learner that makes no progress with a shard loses it to a free
// learner. A shard that failed is tried on other learners first. A learner that repeatedly stalls
// or fails gets no shards for a while (common/standing.h). The file shard_verdict.h decides which
// learner may have which shard. One shard of many is computed twice, by two learners
// (shard_audit.h). Thread-safe. Sends happen under the board's lock, so they must be quick and must
// not call back.
#pragma once

#include <algorithm>
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

#include "agents/segment.h"
#include "common/fair_queue.h"
#include "common/hash.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "common/standing.h"
#include "common/uuid.h"
#include "mentor/v1/experiment.pb.h"
#include "mentor/v1/shard_service.pb.h"
#include "meta_learner/fleet/shard_audit.h"
#include "meta_learner/fleet/shard_verdict.h"

namespace mentor::meta_learner {

// Everything that a learner sent for one shard.
struct ShardResult {
  std::vector<agents::Segment> segments;  // By iteration; shapes are checked against the shard.
  v1::PhaseSeconds seconds;
  uint64_t nonfinite_updates = 0;
  v1::Snapshot snapshot;         // Set if the shard asked for it.
  torch::Tensor outer_gradient;  // [Q] float64; undefined if the inner loop has none.
  std::map<std::string, double> statistics;
};

// An event in the history of an experiment.
struct ShardEvent {
  const char* name;      // "learner_left", for programs.
  const char* sentence;  // The same, for people.
  std::string learner;
  std::string detail = {};
};

class ShardBoard {
 public:
  using LearnerId = uint64_t;
  using Send = std::function<bool(v1::RunResponse)>;  // False when the learner is gone.
  static constexpr const char* kStalled = "it got nowhere with a shard";
  static constexpr const char* kFailed = "it failed with a shard that another one could do";
  static constexpr const char* kBroke = "it sent what does not fit its shard";
  static constexpr const char* kDiverged = "another one has other bits for the same shard";
  static constexpr const char* kDisputed =
      "two learners gave different bits for one shard, and a third one decides";
  using OnProgress = std::function<void(const RunProgress&)>;

  struct Options {
    // A shard fails its call once it failed on errors_max hosts or is given up, if no untried
    // learner is left. In any case it fails its call once it failed on 4 x errors_max hosts.
    TriedAt::Options retries = {};
    // A shard moves to a free learner after max(stall_min, stall_factor x gap) without progress.
    // Here gap is the longest time without progress in finished shards of the experiment. The limit
    // doubles with each stall of the shard.
    std::chrono::nanoseconds stall_min = std::chrono::seconds(60);
    double stall_factor = 8;
    // A shard moves to a free learner with actors after this time on a learner without an actor
    // that answers. The limit doubles with each stall: a shard of slow units must not move for
    // ever. Where no actor could come to such a learner, it gets only shards that have waited this
    // long. Audits wait this long for the actors of a learner.
    std::chrono::nanoseconds actors_wait = std::chrono::seconds(5);
    // How long a shard stays on a learner whose actors no longer offer its simulator. Then it makes
    // place for others, or moves.
    std::chrono::nanoseconds simulator_wait = std::chrono::seconds(10);
    // After losses_suspected vanished learners, a shard goes only to learners with no other shard;
    // after losses_max, it fails its call. The shard may need more memory than they have. A learner
    // that returns, or said that it leaves, does not count as vanished. This exemption applies at
    // most returns_max times to one shard.
    int losses_suspected = 2, losses_max = 8, returns_max = 32;
    Standing::Options standing = {};
    // About one shard in check_every, chosen by chance, is computed again by another learner before
    // its results are used. A learner's first shards are chosen more often, and so is one of each
    // experiment (see SetStage). 0: never.
    uint32_t check_every = 1000;
    // Shards that take longer than this do not free their slots soon. Then an experiment that holds
    // fewer shards than the learner has slots may get a place beyond the slots, if memory allows
    // it.
    std::chrono::nanoseconds slow_after = std::chrono::seconds(1);
    // Places of a learner beyond its slots. The shards of one owner take at most half of them.
    uint32_t extra_places = 6;
    // Memory that a shard needs with this many meta-parameters; empty: learner::MemoryOf.
    std::function<shards::ShardMemory(const v1::Shard&, int64_t num_meta_parameters)> memory_of =
        nullptr;
    // Called when results of one shard differ. Called under the board's lock, like Send.
    std::function<void(const std::string& experiment, const std::vector<std::string>& learners)>
        on_divergence = nullptr;
    // Called when a learner stalls, fails where another one succeeds, breaks the protocol or
    // diverges. quarantined: it gets no shards for a while from now on. Called under the board's
    // lock, like Send.
    std::function<void(const LearnerInfo&, const char* why, bool quarantined)> on_strike = nullptr;
    // Called for events in the history of a running experiment. Called under the board's lock, like
    // Send.
    std::function<void(const std::string& experiment, const ShardEvent&)> on_event = nullptr;
    FairQueue::Options fairness = {};
    // Called once for each learner and experiment with a different arithmetic, when a shard of the
    // experiment waits. Called under the board's lock, like Send.
    std::function<void(const LearnerInfo&, const std::string& experiment,
                       const std::string& arithmetic)>
        on_mismatch = nullptr;
    // Clock of the board; empty: the monotonic clock.
    std::function<std::chrono::steady_clock::time_point()> now = nullptr;
  };
  explicit ShardBoard(const Options& options) : options_(options), queue_(options.fairness) {}

  LearnerId AddLearner(LearnerInfo info, Send send);
  // Puts the learner's shards back at the head of their experiments' lines.
  void RemoveLearner(LearnerId learner);
  // The learner gets no more shards. Returns false if there is no such learner.
  bool DrainLearner(LearnerId learner);
  // The learner gets no more shards, and leaves.
  void OnDeviceLost(LearnerId learner, const std::string& reason);
  // The learner was told to end: it gets no more shards. Its end does not count as a loss of the
  // shards that it holds.
  void OnLeaving(LearnerId learner);
  // Must be called with a learner's messages in their order. An error is the learner's fault and
  // ends its stream. A message about a shard that the learner has lost is ignored, not an error.
  absl::Status OnSegment(LearnerId learner, const v1::Segment& segment);
  absl::Status OnDone(LearnerId learner, const v1::ShardDone& done);
  void OnProgressMessage(LearnerId learner, const v1::ShardProgress& progress);
  // Sets the number of a learner's actors, also while it has no shard, and the simulators that the
  // actors offer (common/hosts.h).
  void OnActors(LearnerId learner, uint32_t actors, std::set<std::string> simulators = {});

  // SetShare sets what an experiment is entitled to, from its next shard on. RemoveShare must be
  // called when the experiment has ended.
  void SetShare(const std::string& experiment, const Share& share);
  void RemoveShare(const std::string& experiment);
  // Returns the default share if none was set.
  Share ShareOf(const std::string& experiment) const;
  std::set<std::string> WithShare() const;
  // Where an experiment is: `done` of `total` outer updates are made. One shard of those that
  // follow is audited in any case, and warnings name updates. Lasts until RemoveShare.
  struct Stage {
    std::string uid;
    uint32_t done = 0, total = 1;
  };
  void SetStage(const std::string& experiment, Stage stage);
  // Something that the owner of an experiment must know, also after its end.
  struct Warning {
    std::string experiment, uid;
    std::string why;  // Names the peers.
    // The newest outer update without their numbers; nothing: their numbers went nowhere.
    std::optional<uint32_t> clean = {};
    std::string Text() const;
  };
  // Returns warnings that are new or have changed since the last call.
  std::vector<Warning> TakeWarnings();
  // Returns the environment steps assigned for an experiment since the last call.
  uint64_t TakeServed(const std::string& experiment);

  // From the next Run on, shards of the experiment go only to learners with this arithmetic. If
  // `arithmetic` is empty, the learner that gets the first shard decides it. In that case Run calls
  // `keep` with the arithmetic before it returns the first results. An error of `keep` becomes
  // Run's error. Lasts until RemoveShare.
  using Keep = std::function<absl::Status(const std::string& arithmetic)>;
  void KeepArithmetic(const std::string& experiment, const std::string& arithmetic, Keep keep);

  // Runs all shards with these meta-parameters ([Q] float32) and returns their results in order.
  // Run sets ids, epochs and their version. Blocks, and calls on_progress (if set)
  // from this thread about once a second. Returns CANCELLED when `cancel` becomes true (see Wake),
  // INTERNAL when a shard fails repeatedly, and FAILED_PRECONDITION when learners vanish with it
  // repeatedly. Several calls may run at once.
  absl::StatusOr<std::vector<ShardResult>> Run(std::vector<v1::Shard> shards,
                                               const v1::Tensor& meta_parameters,
                                               const std::atomic<bool>& cancel,
                                               const OnProgress& on_progress);
  // Moves stalled shards, assigns waiting ones, and lets Run check its cancel flag.
  void Wake();

  // Running and waiting shards by number, of one experiment or of all ("").
  struct ShardState {
    v1::ShardInfo info;
    std::optional<LearnerId> learner;
  };
  std::vector<ShardState> Shards(const std::string& experiment) const;
  // What the list of peers says about the learners' work, standing and memory. Rates are averages
  // since their last computation, which is at least 2 seconds ago.
  std::map<LearnerId, v1::Peer> Learners();

  // Returns the memory that connected learners lack for this shard; no shortage if one of them
  // could hold it or none is connected.
  MemoryShortage ShortageOf(const shards::ShardMemory& memory) const;

  struct Counts {
    uint64_t reassigned = 0;  // Shards taken back or lost, to be assigned again.
    uint64_t refused = 0;     // Messages for an older assignment.
    uint64_t stalled = 0;     // Shards taken from a learner that made no progress.
    uint64_t quarantines = 0;
    uint64_t audited = 0;      // Shards with the same bits from two learners.
    uint64_t divergences = 0;  // Results that differ from another learner's result.
  };
  Counts counts() const;

 private:
  struct Call {
    uint64_t version = 0;
    std::string experiment;
    v1::Tensor meta_parameters;
    uint64_t first_shard = 0;  // The call has shards with consecutive numbers.
    size_t shards = 0;
    int open = 0;  // Shards without a result.
    absl::Status status;
  };
  struct LossesAt {
    int count = 0;
    LearnerId last = 0;
  };
  struct Job {
    std::shared_ptr<const v1::Shard> shard;  // Without an epoch.
    uint64_t epoch = 0;                      // Epoch of the newest assignment.
    Call* call = nullptr;
    std::optional<LearnerId> learner;
    shards::ShardMemory memory;
    int stalls = 0, losses = 0, returns = 0;
    std::map<std::string, LossesAt> lost_at = {};  // By host.
    // By learner, then by host: number of losses.
    std::map<std::string, std::map<std::string, int>> lost_by = {};
    TriedAt failed_at;                        // Names of learners on which it failed or stalled.
    std::set<std::string> error_hosts = {};   // Hosts of learners that reported errors.
    std::chrono::nanoseconds waits_since{0};  // Time at which it last came into its line.
    std::chrono::nanoseconds given{0};        // Time of the assignment.
    std::chrono::nanoseconds progressed{0};   // Time of the last progress, or of the assignment.
    std::chrono::nanoseconds longest_gap{0};
    uint64_t env_steps = 0;        // As reported by the learner; never decreases.
    uint64_t counted_steps = 0;    // env_steps at the last progress.
    std::shared_ptr<Sha256> hash;  // Hash of this assignment's segments.
    std::string work = {};         // Digest of what it computes, for histories.
    ShardResult result;
    bool audited = false;
    ShardAudit<ShardResult> audit;
    // The learner and the assignment that gave the result, once the job is done.
    std::string done_by = {};
    uint64_t done_epoch = 0;
    std::string taken_back = {};  // Why it was last taken back; empty: it was not.
    int times_taken_back = 0;
    std::set<std::string> simulators = {};  // Needed by its environments.
    std::string missing_simulator = {};     // As reported by its learner.
    // Since when its learner has no actor that answers.
    std::optional<std::chrono::nanoseconds> actorless_since = {};
    // Since when its learner's actors lack a simulator.
    std::optional<std::chrono::nanoseconds> lacking_since = {};
    bool done = false;

    void Finish();
    void Fail(const absl::Status& status) {
      call->status = status;
      Finish();
    }
    void Advanced(std::chrono::nanoseconds now) {
      longest_gap = std::max(longest_gap, now - progressed);
      progressed = now;
    }
    // Copies what came with the end of the shard into the result.
    absl::Status Take(const v1::ShardDone& end);
  };
  // The arithmetic of an experiment's shards.
  struct Arithmetic {
    std::string name;  // Empty: not yet decided.
    // Final. Until then, the name holds while a learner has a shard of the experiment, or a result
    // waits for its call to end.
    bool kept = false;
    int shards = 0;  // Shards and results that hold the name.
    Keep keep;
  };
  struct Learner {
    LearnerInfo info;
    Send send;
    std::set<std::string> mismatched = {};  // Experiments reported to on_mismatch.
    std::set<uint64_t> shards = {};
    uint64_t version = 0;  // Version of the meta-parameters that were sent last.
    uint32_t actors = 0;
    std::optional<std::chrono::nanoseconds> actorless_since = {};  // It said that it has none.
    // True if that is news.
    bool SetActors(uint32_t count, std::chrono::nanoseconds now) {
      const bool news = count != actors || (count == 0 && !actorless_since);
      if (news) actorless_since = count > 0 ? std::nullopt : std::optional(now);
      actors = count;
      return news;
    }
    std::set<std::string> simulators = {};  // Offered by its actors.
    bool draining = false;
    bool broken = false;   // It broke the protocol; its stream ends.
    bool leaving = false;  // It was told to end.
    Standing standing;
    // When its results were last doubted. Shards that it had then prove nothing.
    std::chrono::nanoseconds doubted{-1};
    SecretSpans spans = {};  // Chooses among its results.
    // Steps since the last computation of the rate, and the time of that.
    uint64_t new_steps = 0;
    std::chrono::steady_clock::time_point rate_since = {};
    double env_steps_per_second = 0;

    void CountSteps(uint64_t steps, std::chrono::steady_clock::time_point now);
  };

  // Verdicts (shard_assignment.cc).
  // Returns the facts for Judge; but_owner: without the memory of this owner's shards, if set.
  LearnerFacts FactsLocked(const Learner& learner, const std::string* but_owner = nullptr) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  ShardFacts FactsLocked(const Job& job) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Verdict JudgeLocked(const LearnerFacts& learner, const Job& job,
                      std::chrono::nanoseconds now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // True if some learner that has not tried the job gets as far as this obstacle.
  bool AnyReachesLocked(const Job& job, Obstacle least, std::chrono::nanoseconds now) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // True if a learner other than the job's could start it now. with_actors: one that has actors.
  bool IsFreeElsewhereLocked(const Job& job, bool with_actors = false) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // True if the job's learner has had no actor that answers for too long.
  bool LacksActorsLocked(Job* job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsSuspect(const Job& job) const { return job.losses >= options_.losses_suspected; }
  std::string RefusalLocked(const Learner& learner) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  RunProgress ProgressLocked(const Call* call) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Assignment (shard_assignment.cc).
  // Gives out what waits. Call after each change; Run looks again.
  void AssignLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Returns the learners without actors to which no actor would come: each learner that has some
  // needs its last one.
  std::set<LearnerId> UnservedLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Returns the waiting shards that may also go to unserved learners.
  std::set<uint64_t> ImpatientLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Gives the learner one shard, of `among` alone where that is given. Returns false if it gets
  // none.
  bool GiveNextLocked(LearnerId id, const std::set<uint64_t>* among)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Returns the experiments with waiting shards that this learner may have, or may have once it has
  // room.
  std::set<std::string> ReadyLocked(Learner* learner, const LearnerFacts& facts,
                                    std::chrono::nanoseconds now,
                                    const std::set<uint64_t>* among = nullptr)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Returns the experiments in `ready` that may use a place beyond the slots of a full learner.
  std::set<std::string> BeyondSlotsLocked(const Learner& learner,
                                          const std::set<std::string>& ready) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Gives a suspect to a learner with no other shard. Returns the learner that has such a shard, or
  // that must first finish its shards to get one: that learner gets no other shard.
  std::optional<LearnerId> ReserveForSuspectsLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string OwnerOfLocked(const Job& job) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes the shard from its experiment's line and sends it to the learner.
  void GiveLocked(LearnerId id, uint64_t shard) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LeaveLineLocked(const Job& job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::chrono::nanoseconds StallAfterLocked(const Job& job) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Moves shards, and assigns waiting ones.
  void LookLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes back stalled shards that a free learner could run.
  void MoveStalledLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Returns a simulator that the actors of the shard's learner lack; empty if they have all.
  std::string LackedLocked(const Job& job) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes back shards that wait for a simulator, if that helps them or other shards.
  void MoveLackingLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropLocked(const Job& job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Drops the shard, and returns it to its experiment's line.
  void TakeBackLocked(Job* job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReturnLocked(Job* job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Audits (shard_checks.cc).
  void ChooseAuditsLocked(const Call& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsChosenLocked(const Job& job, Learner* learner) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // True if a learner could audit the job. elsewhere: on a host that has not answered.
  bool CanBeAuditedLocked(const Job& job, bool elsewhere) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // AuditLocked returns true if the result must not be used yet.
  bool AuditLocked(Job* job, Learner* from, const v1::ShardDone& done)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Ends audits that no learner can decide: a single result stands, and of several none does.
  void SettleAuditsLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DivergedLocked(Job* job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CountSuspectsLocked(const std::set<std::string>& names, int change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Forgets the answers of the job's audit, if any.
  void EndAuditLocked(Job* job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Nothing that these learners computed may be used. decided: they are known to be wrong.
  void FindOutLocked(const std::set<std::string>& names, bool decided, const std::string& why)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A learner takes back its shard, as an actor of it was found out.
  void TakenBack(LearnerId learner, const v1::ShardDone& done);
  // Takes back what the job has from this learner, except a running assignment; false: nothing.
  bool TakeBackResultLocked(Job* job, const std::string& learner, std::optional<uint64_t> epoch,
                            const std::string& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WarnLocked(const std::string& experiment, const std::string& uid, const std::string& why,
                  std::optional<uint32_t> clean) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WarnLocked(const Job& job, const std::string& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // What learners send (shard_results.cc).
  absl::Status TakeSegment(LearnerId learner, const v1::Segment& segment);
  absl::Status TakeDone(LearnerId learner, const v1::ShardDone& done);
  // Returns the status unchanged; an error strikes the learner.
  absl::Status Blame(LearnerId learner, absl::Status status);
  // Returns the job if this learner holds this epoch of it, else null.
  Job* FindLocked(LearnerId learner, uint64_t shard_id, uint64_t epoch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnErrorLocked(Job* job, Learner* learner, const v1::ShardDone& done)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Learners and calls (shard_board.cc).
  // Takes back the losses blamed on shards of a learner that returned. Its machine slept or the
  // network was away; no shard ended it.
  void ForgiveLossesLocked(const LearnerInfo& info) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StrikeLocked(Learner* learner, const char* why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Reports an event for one experiment, or for all with a share ("").
  void TellLocked(const std::string& experiment, const ShardEvent& event)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Must be called when a learner or a call no longer holds a shard of the experiment.
  void LetGoLocked(const std::string& experiment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Returns the jobs of a call. Needs no lock, as hashes and bounds of memory take time.
  std::vector<std::unique_ptr<Job>> JobsOf(std::vector<v1::Shard> shards, Call* call) const;
  // Removes the shards of a call from the board and from their learners, and returns their results.
  // whole: each shard has one.
  std::vector<ShardResult> ReleaseLocked(const Call& call, bool whole)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::chrono::nanoseconds NowNs() const { return Now().time_since_epoch(); }
  std::chrono::steady_clock::time_point Now() const {
    return options_.now ? options_.now() : std::chrono::steady_clock::now();
  }

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
  // Standing of learners that left with strikes, by name, for their return.
  DepartedStandings departed_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Arithmetic> arithmetics_ ABSL_GUARDED_BY(mutex_);  // By experiment.
  struct Progressing {
    Stage stage;
    // Calls until the one with an audit in any case; nothing: not yet drawn.
    std::optional<uint64_t> calls_left;
    bool audited = false;
  };
  std::map<std::string, Progressing> stages_ ABSL_GUARDED_BY(mutex_);
  // Learners in disputes, with the number of them: they get other work once it is decided.
  std::map<std::string, int> suspects_ ABSL_GUARDED_BY(mutex_);
  // The newest shards whose results were used, by number.
  struct Used {
    std::string experiment, uid, learner;
    uint64_t epoch = 0;
    uint32_t done = 0;  // Outer updates before.
  };
  std::map<uint64_t, Used> used_ ABSL_GUARDED_BY(mutex_);
  struct Told {
    Warning warning;
    bool changed = true;
  };
  std::map<std::pair<std::string, std::string>, Told> warnings_
      ABSL_GUARDED_BY(mutex_);  // By uid of the experiment, and `why`.
  std::map<LearnerId, Learner> learners_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_shard_ ABSL_GUARDED_BY(mutex_) = 1;
  uint64_t next_version_ ABSL_GUARDED_BY(mutex_) = 1;
  uint64_t next_epoch_ ABSL_GUARDED_BY(mutex_) = 1;
  LearnerId next_learner_ ABSL_GUARDED_BY(mutex_) = 1;
  Counts counts_ ABSL_GUARDED_BY(mutex_);
};

// ---- What the meta-learner logs and counts about the work of its board (board_reports.cc).

// Returns the options with hooks that log and count. The metrics must outlive the board.
ShardBoard::Options WithReports(ShardBoard::Options options, Metrics* metrics);

// Returns FAILED_PRECONDITION NUMERIC_MISMATCH, with both arithmetics and what to do.
absl::Status ArithmeticMismatch(const std::string& kept, const std::string& got);

}  // namespace mentor::meta_learner
