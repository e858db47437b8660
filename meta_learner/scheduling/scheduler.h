// Runs queued experiments, a bounded number at a time, and goes on with those that an earlier
// process left at work. Higher classes first, then the owner with the fewest at work; a higher
// class takes the place of a lower one. Also ends what is past its deadline, deletes what has
// expired, waits out a full disk, and pauses owners at their storage quota. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/fair_queue.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "meta_learner/fleet/shard_broker.h"
#include "meta_learner/scheduling/disk_guard.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

class Scheduler {
 public:
  // Runs one experiment: OK when it is complete, CANCELLED when *cancel became true.
  using Run = std::function<absl::Status(const v1::Experiment& experiment,
                                         const std::atomic<bool>& cancel)>;
  struct Options {
    // These outlive the scheduler.
    ExperimentStore* store = nullptr;
    ShardBroker* broker = nullptr;
    DiskGuard* disk = nullptr;
    Run run = {};
    int running_max = 4;  // Experiments at once.
    // Experiments of one owner at once; 0: as many as there are places.
    int running_per_owner_max = 0;
    // The lowest class's share of admissions while something of a higher class waits too.
    double low_share = 0.05;
    // Before the first retry of a failed experiment; doubled for each further one.
    std::chrono::milliseconds retry_wait{10'000};
    // Before storage that was away or erred is tried again; doubled each time in a row, to 32
    // times.
    std::chrono::milliseconds store_wait{1'000};
    // How often deadlines, expiry and the disk are looked at.
    std::chrono::milliseconds look_every{1'000};
    // Bytes of one owner's checkpoints from which on the owner's experiments wait; 0: no limit.
    int64_t storage_per_owner_max = 0;
    // How often that is looked at, at most.
    std::chrono::milliseconds storage_every{2'000};
  };
  Scheduler(Options options, Metrics* metrics);
  ~Scheduler();

  // This experiment is new, PAUSING or CANCELLING, or its settings changed: what runs it looks at
  // once.
  void Look(const v1::Experiment& experiment);
  // Stops the running ones at their last checkpoint; they stay RUNNING and go on after the next
  // start.
  void Stop();

 private:
  using Clock = std::chrono::steady_clock;
  enum class Stopped { kNot, kByUser, kPreempted, kDeadline };
  struct Job {
    std::atomic<bool> cancel = false;
    std::atomic<Stopped> why = Stopped::kNot;
    // Guarded by the scheduler's mutex_.
    std::string owner;
    v1::Priority priority = v1::PRIORITY_NORMAL;
    bool owed = false;  // It has its place by the share of the lowest class, and keeps it.
    Clock::time_point since;
  };

  void Work();
  void Housekeep();
  // What threads have read of the store is old news.
  void Wake();
  // The next experiment; nothing when stopping.
  std::optional<v1::Experiment> Next(std::shared_ptr<Job>* job);
  // Among the heads of the queue; null when none may run now. *owed: chosen by the share of the
  // lowest class.
  const QueueHead* Choose(const std::vector<QueueHead>& heads, bool* owed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::map<std::string, int> RunningByOwner() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Names of those that have a place or wait for a moment of their own; *until is no later than the
  // next such moment.
  std::set<std::string> NotForNow(Clock::time_point* until) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Makes room for a waiting head of a higher class.
  void PreemptFor(const std::vector<QueueHead>& heads) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Interrupt(Job* job, Stopped why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // False when the experiment is not for this process: it stays as it is and is not tried again.
  bool RunToEnd(const v1::Experiment& experiment, const Job& job);
  void End(const v1::Experiment& experiment, const Job& job, const absl::Status& status);
  // Runs it until it ends or is interrupted: while storage is away it keeps its place and waits.
  absl::Status RunThroughFaults(const v1::Experiment& experiment, const Job& job);
  // False when it was interrupted. waits: how many there were in a row.
  bool WaitForStorage(const v1::Experiment& experiment, const absl::Status& why, int waits,
                      const Job& job);
  void EndPastDeadline();
  void DeleteExpired();
  // What ended, or was paused by its user, needs no room.
  void ForgetWhoNeedsNoRoom();
  void ResumeAfterFullDisk();
  // Pauses what belongs to owners at their storage quota, and resumes it when they have less.
  void KeepToStorageQuota();
  // owners: those at their quota, each with what to say.
  void PauseOwners(const std::map<std::string, absl::Status>& owners);
  // What waits for its quota and belongs to others than these. False: look again.
  bool ResumeOthersThan(const std::map<std::string, absl::Status>& owners);

  // Fixed after construction.
  const Options options_;
  std::map<v1::Priority, prometheus::Histogram*> queue_wait_;
  prometheus::Counter& preemptions_;
  prometheus::Counter& retries_;
  prometheus::Counter& failures_;
  // Something may be PAUSED for a full disk, also by an earlier process.
  std::atomic<bool> may_be_paused_ = true;
  // Of the thread that keeps house. What the last look at storage found, and whether others than
  // these may be PAUSED for it, also by an earlier process.
  std::map<std::string, absl::Status> at_quota_;
  bool may_wait_for_quota_ = true;
  Clock::time_point next_storage_look_;
  // Guarded by mutex_.
  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, std::shared_ptr<Job>> jobs_
      ABSL_GUARDED_BY(mutex_);                          // One for each thread that works.
  std::set<std::string> left_ ABSL_GUARDED_BY(mutex_);  // Not for this process.
  std::map<std::string, Clock::time_point> not_before_
      ABSL_GUARDED_BY(mutex_);  // When to retry, or to write an end again.
  LowTurns low_turns_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t wakes_ ABSL_GUARDED_BY(mutex_) = 0;
  // Last, so that they stop first.
  std::vector<std::thread> threads_;
};

}  // namespace mentor::meta_learner
