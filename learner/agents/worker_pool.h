// A fixed set of threads for tensor work, each running LibTorch single-threaded. Owned by the
// process, shared by its shard runners and rules. Thread-safe and fair: the tasks of concurrent
// calls take turns, one task of each call in turn, and a call whose turn does not come runs its
// tasks itself. Which thread runs a task never changes a result: tasks write to their own slots,
// sums run afterwards.
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
#include <thread>
#include <vector>

#include <absl/status/status.h>

#include "common/mutex.h"

namespace mentor::learner {

class WorkerPool {
 public:
  explicit WorkerPool(int num_threads);  // At least 1.
  ~WorkerPool();                         // No call may be under way.
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  int num_threads() const { return static_cast<int>(threads_.size()); }
  // Calls with tasks that no thread has begun.
  int64_t num_waiting();

  // Runs task(0) ... task(n-1) with gradients off and returns when all of them are done. The status
  // is that of the failed task with the least index; a task that throws has failed with INTERNAL.
  // Called from a task of a pool, it runs its own tasks on that thread, one after another.
  absl::Status ParallelFor(int64_t n, const std::function<absl::Status(int64_t)>& task);

  // CPU time that pools have spent on tasks of the calling thread so far. For reports.
  static double CallerCpuSeconds();

 private:
  struct Job;
  void Run();
  // Task i of the job; gives the lock back meanwhile.
  void RunOne(Job* job, int64_t i, MutexLock& lock) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The job's tasks on the thread of its caller, until all have begun.
  void Help(Job* job, MutexLock& lock) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Guarded by mutex_.
  Mutex mutex_;
  CondVar work_;
  std::deque<Job*> jobs_
      ABSL_GUARDED_BY(mutex_);  // With tasks that nobody has begun; the front is next.
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // Last, so that they stop first.
  std::vector<std::thread> threads_;
};

// While it lives, ParallelFor calls of this thread begin no more tasks once *interrupt is true, and
// answer CANCELLED. For long work that its owner may no longer want.
class InterruptScope {
 public:
  explicit InterruptScope(const std::atomic<bool>* interrupt);
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;
};

// CANCELLED where calls of this thread are interrupted.
absl::Status CheckInterrupt();

// The same loop on the calling thread when pool is null.
absl::Status ParallelFor(WorkerPool* pool, int64_t n,
                         const std::function<absl::Status(int64_t)>& task);

}  // namespace mentor::learner
