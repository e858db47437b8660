// Runs queued experiments, a bounded number at a time, and continues those that an earlier process
// left running. Higher classes go first, then the owner with the fewest running experiments. A
// higher class preempts a lower one. The scheduler also fails experiments past their deadline,
// deletes expired ones, waits out a full disk, and pauses owners at their storage quota.
// Thread-safe.
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
#include "meta_learner/fleet/shard_board.h"
#include "meta_learner/scheduling/disk_guard.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

class Scheduler {
 public:
  // Runs one experiment. Returns OK when it is complete, CANCELLED when `cancel` became true.
  using Run = std::function<absl::Status(const v1::Experiment& experiment,
                                         const std::atomic<bool>& cancel)>;
  struct Options {
    // These must outlive the scheduler.
    Records* records = nullptr;
    Results* results = nullptr;
    ShardBoard* board = nullptr;
    DiskGuard* disk = nullptr;
    Run run = {};
    int running_max = 4;  // Experiments at once.
    // Experiments of one owner at once; 0: running_max.
    int running_per_owner_max = 0;
    // Share of admissions that go to the lowest class while a higher class waits too.
    double low_share = 0.05;
    // Wait before the first retry of a failed experiment; doubled for each further retry.
    std::chrono::milliseconds retry_wait{10'000};
    // Wait before unavailable storage is tried again; doubled with each failure in a row, up to 32
    // times this value.
    std::chrono::milliseconds store_wait{1'000};
    // How often deadlines, expiry and the disk are checked.
    std::chrono::milliseconds look_every{1'000};
    // An owner's experiments wait once the owner's checkpoints take this many bytes; 0: no limit.
    int64_t storage_per_owner_max = 0;
    // Shortest time between two checks of the storage quota.
    std::chrono::milliseconds storage_every{2'000};
  };
  Scheduler(Options options, Metrics* metrics);
  ~Scheduler();

  // Must be called when an experiment is created, becomes PAUSING or CANCELLING, or has new
  // settings. The thread that runs it reacts at once.
  void Look(const v1::Experiment& experiment);
  // Stops the running experiments at their last checkpoint. They stay RUNNING and continue after
  // the next start.
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
    bool owed = false;  // Admitted by the share of the lowest class; never preempted.
    Clock::time_point since;
  };

  void Work();
  void Housekeep();
  // Makes all threads read the store again.
  void Wake();
  // Blocks until an experiment may run, and returns it. Returns nullopt when stopping.
  std::optional<v1::Experiment> Next(std::shared_ptr<Job>* job);
  // Returns the head of the queue that runs next, or null when none may run now. Sets *owed if the
  // head was chosen by the share of the lowest class.
  const QueueHead* Choose(const std::vector<QueueHead>& heads, bool* owed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::map<std::string, int> RunningByOwner() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Returns the names of experiments that run or must wait for a retry. Lowers *until to the
  // earliest of the retry times.
  std::set<std::string> NotForNow(Clock::time_point* until) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Preempts at most one job for a waiting head of a higher class.
  void PreemptFor(const std::vector<QueueHead>& heads) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Interrupt(Job* job, Stopped why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Returns false when this process cannot run the experiment. The experiment keeps its state, and
  // this process does not try it again.
  bool RunToEnd(const v1::Experiment& experiment, const Job& job);
  // Until then no thread takes it again.
  void HoldBack(const std::string& name, std::chrono::milliseconds wait);
  void End(const v1::Experiment& experiment, const Job& job, const absl::Status& status);
  // Moves an experiment whose run ended so. `interrupted`: why it was told to end, if it was.
  static void SetOutcome(const absl::Status& status, std::optional<Stopped> interrupted,
                         v1::Experiment* now);
  // Runs the experiment until it ends or is interrupted. While storage is unavailable, the
  // experiment keeps its place and waits.
  absl::Status RunThroughFaults(const v1::Experiment& experiment, const Job& job);
  // Returns false when the job was interrupted. `waits` counts the earlier waits in a row.
  bool WaitForStorage(const v1::Experiment& experiment, const absl::Status& why, int waits,
                      const Job& job);
  // Adds the board's warnings to their experiments, which may have ended.
  void KeepWarnings();
  void EndPastDeadline();
  void DeleteExpired();
  // Drops the room requests of experiments that ended or are paused for another reason.
  void ForgetWhoNeedsNoRoom();
  void ResumeAfterFullDisk();
  // Pauses the experiments of owners at their storage quota, and resumes them once the owner is
  // below it.
  void KeepToStorageQuota();
  // `owners` maps each owner at the quota to the error to report.
  void PauseOwners(const std::map<std::string, absl::Status>& owners);
  // Resumes experiments that wait for a quota and whose owner is not in `owners`. Returns false if
  // some could not be resumed yet: call again.
  bool ResumeOthersThan(const std::map<std::string, absl::Status>& owners);

  // Fixed after construction.
  const Options options_;
  std::map<v1::Priority, prometheus::Histogram*> queue_wait_;
  prometheus::Counter& preemptions_;
  prometheus::Counter& retries_;
  prometheus::Counter& failures_;
  // An experiment may be PAUSED for a full disk, possibly by an earlier process.
  std::atomic<bool> may_be_paused_ = true;
  // Used only by the Housekeep thread. Owners that the last storage check found at their quota. If
  // may_wait_for_quota_, experiments of other owners may be PAUSED for it, possibly by an earlier
  // process.
  std::map<std::string, absl::Status> at_quota_;
  bool may_wait_for_quota_ = true;
  Clock::time_point next_storage_look_;
  // Guarded by mutex_.
  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, std::shared_ptr<Job>> jobs_
      ABSL_GUARDED_BY(mutex_);                          // At most one per worker thread.
  std::set<std::string> left_ ABSL_GUARDED_BY(mutex_);  // This process cannot run these.
  std::map<std::string, Clock::time_point> not_before_
      ABSL_GUARDED_BY(mutex_);  // When to retry, or to write the outcome again.
  LowTurns low_turns_ ABSL_GUARDED_BY(mutex_);
  std::vector<ShardBoard::Warning> unwritten_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t wakes_ ABSL_GUARDED_BY(mutex_) = 0;
  // Last member, so that the threads stop first.
  std::vector<std::thread> threads_;
};

}  // namespace mentor::meta_learner
