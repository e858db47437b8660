#include "learner/agents/worker_pool.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <limits>
#include <utility>

#include "common/check.h"
#include "common/cpu_time.h"

namespace mentor::learner {
namespace {

// A call none of whose tasks has begun by then runs them itself.
constexpr std::chrono::milliseconds kHelpAfter{2};

thread_local bool on_pool_thread = false;
thread_local double caller_cpu_seconds = 0;
thread_local const std::atomic<bool>* caller_interrupt = nullptr;

absl::Status CheckInterrupt(const std::atomic<bool>* interrupt) {
  return interrupt != nullptr && *interrupt ? absl::CancelledError("interrupted")
                                            : absl::OkStatus();
}

absl::Status RunTask(const std::function<absl::Status(int64_t)>& task, int64_t i,
                     const std::atomic<bool>* interrupt) {
  MENTOR_RETURN_IF_ERROR(CheckInterrupt(interrupt));
  const c10::AutoGradMode gradients_off(false);
  try {
    return task(i);
  } catch (const c10::Error& error) {
    return absl::InternalError(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  }
}

}  // namespace

// One ParallelFor under way. Lives on the caller's stack; guarded by the pool's mutex but for the
// first three.
struct WorkerPool::Job {
  const int64_t n;
  const std::function<absl::Status(int64_t)>& task;
  const std::atomic<bool>* const interrupt;
  int64_t next = 0;
  int64_t done = 0;
  double cpu_seconds = 0;
  int64_t failed_index = std::numeric_limits<int64_t>::max();
  absl::Status failure = absl::OkStatus();
  CondVar all_done = {};
};

WorkerPool::WorkerPool(int num_threads) {
  MENTOR_CHECK(num_threads >= 1);
  threads_.reserve(num_threads);
  for (int i = 0; i < num_threads; ++i) threads_.emplace_back([this] { Run(); });
}

WorkerPool::~WorkerPool() {
  {
    const MutexLock lock(mutex_);
    MENTOR_CHECK(jobs_.empty());
    stopping_ = true;
  }
  work_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::Run() {
  on_pool_thread = true;
  at::set_num_threads(1);  // Concerns this thread alone.
  MutexLock lock(mutex_);
  while (true) {
    while (!stopping_ && jobs_.empty()) work_.Wait(lock);
    if (jobs_.empty()) return;
    Job* job = jobs_.front();
    jobs_.pop_front();
    const int64_t i = job->next++;
    if (job->next < job->n) jobs_.push_back(job);
    RunOne(job, i, lock);
  }
}

void WorkerPool::RunOne(Job* job, int64_t i, MutexLock& lock) {
  lock.Unlock();
  const double cpu_before = ThreadCpuSeconds();
  absl::Status status = RunTask(job->task, i, job->interrupt);
  const double cpu_seconds = ThreadCpuSeconds() - cpu_before;
  lock.Lock();
  job->cpu_seconds += cpu_seconds;
  if (!status.ok() && i < job->failed_index) {
    job->failed_index = i;
    job->failure = std::move(status);
  }
  // Under the lock: the caller destroys the job as soon as it sees the last task done.
  if (++job->done == job->n) job->all_done.NotifyOne();
}

void WorkerPool::Help(Job* job, MutexLock& lock) {
  on_pool_thread = true;
  const int threads = at::get_num_threads();
  at::set_num_threads(1);  // As on the pool's own: sums have the same bits.
  while (job->next < job->n) {
    const int64_t i = job->next++;
    if (job->next == job->n) std::erase(jobs_, job);
    RunOne(job, i, lock);
  }
  at::set_num_threads(threads);
  on_pool_thread = false;
}

int64_t WorkerPool::num_waiting() {
  const MutexLock lock(mutex_);
  return static_cast<int64_t>(jobs_.size());
}

absl::Status WorkerPool::ParallelFor(int64_t n, const std::function<absl::Status(int64_t)>& task) {
  if (n <= 0) return absl::OkStatus();
  if (on_pool_thread) return learner::ParallelFor(nullptr, n, task);
  Job job{.n = n, .task = task, .interrupt = caller_interrupt, .failure = {}, .all_done = {}};
  MutexLock lock(mutex_);
  jobs_.push_back(&job);
  work_.NotifyAll();
  // Threads that are busy for long with the tasks of others do not keep this call waiting.
  job.all_done.WaitFor(lock, kHelpAfter);
  if (job.next == 0) Help(&job, lock);
  while (job.done != job.n) job.all_done.Wait(lock);
  caller_cpu_seconds += job.cpu_seconds;
  return job.failure;
}

InterruptScope::InterruptScope(const std::atomic<bool>* interrupt) {
  MENTOR_CHECK(caller_interrupt == nullptr);
  caller_interrupt = interrupt;
}

InterruptScope::~InterruptScope() {
  caller_interrupt = nullptr;
}

absl::Status CheckInterrupt() {
  return CheckInterrupt(caller_interrupt);
}

double WorkerPool::CallerCpuSeconds() {
  return caller_cpu_seconds;
}

absl::Status ParallelFor(WorkerPool* pool, int64_t n,
                         const std::function<absl::Status(int64_t)>& task) {
  if (pool != nullptr) return pool->ParallelFor(n, task);
  absl::Status first;
  for (int64_t i = 0; i < n; ++i) first.Update(RunTask(task, i, caller_interrupt));
  return first;
}

}  // namespace mentor::learner
