// A fixed number of threads' worth of tensor work, each thread running LibTorch single-threaded.
// One for a learner's shard runners, one for a meta-learner's rules. Thread-safe and fair: calls of
// several experiments take turns by class, owner and weight (common/turns.h), between two tasks and
// at the pause points of a task. Calls of one experiment come one after another. The thread that
// runs a task never changes a result: tasks write to their own slots, and sums run afterwards.
//
//   const absl::Status status = pool.ParallelFor(n, [&](int64_t i) {
//     slots[i] = Work(i);
//     return absl::OkStatus();
//   });
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <absl/status/status.h>

#include "common/mutex.h"
#include "common/pause_point.h"
#include "common/turns.h"
#include "mentor/v1/experiment.pb.h"

namespace mentor::agents {

class PlaceScope;

class WorkerPool {
 public:
  explicit WorkerPool(int num_threads);  // At least 1.
  ~WorkerPool();                         // No call may be under way.
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  int num_threads() const { return places_; }
  // Threads that calls would use if they had a place.
  size_t num_waiting();

  // Runs task(0) ... task(n-1) with gradients off and returns when all of them are done. The status
  // is that of the failed task with the least index; a task that throws has failed with INTERNAL.
  // Called from a task of a pool, it runs its own tasks on that thread, one after another.
  absl::Status ParallelFor(int64_t n, const std::function<absl::Status(int64_t)>& task);

  // CPU time that pools have spent on tasks of the calling thread so far. For reports.
  static double CallerCpuSeconds();

 private:
  friend class PlaceScope;
  struct Job;
  class Lane;
  void Run();
  // One more of the job, which waits for its place.
  Lane* AddLane(Job* job, bool is_callers) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Task by task of its job until none is left.
  void RunLane(Lane* lane, MutexLock& lock) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Task i of its job; gives the lock back meanwhile.
  void RunTask(Lane* lane, int64_t i, MutexLock& lock) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // At a pause point: the lane goes on at once, or when it has a place again.
  void Pause(Lane* lane, MutexLock& lock) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Until the lane has its place, has ended, or its job is no longer wanted.
  void WaitForPlace(Lane* lane, MutexLock& lock) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The thread's lane while no call of ParallelFor is under way.
  void TakePlace(PlaceScope* scope, MutexLock& lock) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void GivePlaceBack(PlaceScope* scope) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Lanes that no thread has begun are not needed any more.
  void EndFreshLanes(Job* job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(Lane* lane) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes places where others wait, and gives those that are free.
  void FillPlaces() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Returns when something of the job has changed, or a slice of time has passed.
  void WaitForChange(Job* job, MutexLock& lock) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int places_;
  Mutex mutex_;
  CondVar work_;
  Turns turns_ ABSL_GUARDED_BY(mutex_);
  std::map<Turns::Id, Lane*> lanes_ ABSL_GUARDED_BY(mutex_);
  Turns::Id next_lane_ ABSL_GUARDED_BY(mutex_) = 1;
  std::deque<Lane*> begun_ ABSL_GUARDED_BY(mutex_);  // Idle threads take them.
  size_t idle_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // They run lanes, but for those of callers. One is added where a lane begins and none is idle.
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mutex_);
};

// Names the owner of this thread's calls while it lives. Once *interrupt is true, ParallelFor
// begins no more tasks and returns CANCELLED, and tasks end at their pause points. Long work needs
// it when its owner may cancel it. Without a share, calls belong to an experiment without a name.
class CallerScope {
 public:
  explicit CallerScope(const std::atomic<bool>* interrupt, const v1::WorkShare* share = nullptr);
  ~CallerScope();
  CallerScope(const CallerScope&) = delete;
  CallerScope& operator=(const CallerScope&) = delete;
};

// While it lives, what this thread computes takes a place of the pool, as a task does. A call of
// ParallelFor gives the place back and takes one again before it returns. Null pool: nothing.
// Within the thread's CallerScope, if it has one.
class PlaceScope final : public Turn {
 public:
  explicit PlaceScope(WorkerPool* pool);
  ~PlaceScope() override;
  PlaceScope(const PlaceScope&) = delete;
  PlaceScope& operator=(const PlaceScope&) = delete;

  absl::Status Continue() override;
  void Begin(const char* /*name*/) override {}

 private:
  friend class WorkerPool;

  WorkerPool* const pool_;
  const std::unique_ptr<WorkerPool::Job> job_;  // Without tasks; its one lane is the thread's.
  std::optional<TurnScope> turn_;
};

// A pause point; CANCELLED where calls of this thread are interrupted.
absl::Status CheckInterrupt();

// The same loop on the calling thread when pool is null.
absl::Status ParallelFor(WorkerPool* pool, int64_t n,
                         const std::function<absl::Status(int64_t)>& task);

}  // namespace mentor::agents
