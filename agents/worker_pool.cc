#include "agents/worker_pool.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <limits>
#include <system_error>
#include <utility>

#include "common/check.h"
#include "common/cpu_time.h"

namespace mentor::agents {
namespace {

// Calls of quick experiments take less than one slice.
constexpr std::chrono::milliseconds kSlice{2};

struct Caller {
  const std::atomic<bool>* interrupt = nullptr;
  const v1::WorkShare* share = nullptr;
};

thread_local bool on_lane = false;
thread_local double caller_cpu_seconds = 0;
thread_local std::optional<Caller> caller;
thread_local PlaceScope* place_of_thread = nullptr;

const std::atomic<bool>* CallerInterrupt() {
  return caller ? caller->interrupt : nullptr;
}

absl::Status CheckInterrupt(const std::atomic<bool>* interrupt) {
  return interrupt != nullptr && *interrupt ? absl::CancelledError("interrupted")
                                            : absl::OkStatus();
}

absl::Status RunGuarded(const std::function<absl::Status(int64_t)>& task, int64_t i,
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

// A thread that runs tasks. LibTorch uses this thread only, so that sums have the same bits on
// each.
class LaneThread {
 public:
  LaneThread() : threads_(at::get_num_threads()) {
    on_lane = true;
    if (threads_ != 1) at::set_num_threads(1);
  }
  ~LaneThread() {
    if (threads_ != 1) at::set_num_threads(threads_);
    on_lane = false;
  }
  LaneThread(const LaneThread&) = delete;
  LaneThread& operator=(const LaneThread&) = delete;

 private:
  const int threads_;
};

Turns::Time Now() {
  return std::chrono::steady_clock::now().time_since_epoch();
}

}  // namespace

// One thread's part of a job. The pool's mutex guards it, except constants and `asked`.
class WorkerPool::Lane : public Turn {
 public:
  Lane(WorkerPool* pool, Job* job, Turns::Id id, bool is_callers)
      : pool(pool), job(job), id(id), is_callers(is_callers) {}

  absl::Status Continue() override;
  void Begin(const char* /*name*/) override {}

  WorkerPool* const pool;
  Job* const job;
  const Turns::Id id;
  const bool is_callers;            // Runs on the caller's thread.
  std::atomic<bool> asked = false;  // Asked to give its place back.
  bool has_place = false, has_thread = false, ended = false;
};

// One ParallelFor under way. Lives on the caller's stack. The pool's mutex guards all but the first
// three members.
struct WorkerPool::Job {
  const int64_t n = 0;
  const std::function<absl::Status(int64_t)>* const task = nullptr;
  const std::atomic<bool>* const interrupt = CallerInterrupt();
  std::deque<Lane> lanes = {};
  size_t lanes_left = 0;
  int64_t next = 0;
  double cpu_seconds = 0;  // On other threads than the caller's.
  int64_t failed_index = std::numeric_limits<int64_t>::max();
  absl::Status failure = absl::OkStatus();
  CondVar changed = {};  // A lane got its place, or the last one ended.
};

absl::Status WorkerPool::Lane::Continue() {
  if (asked) {
    MutexLock lock(pool->mutex_);
    pool->Pause(this, lock);
  }
  return CheckInterrupt(job->interrupt);
}

WorkerPool::WorkerPool(int num_threads)
    : places_(num_threads), turns_({.places = num_threads, .slice = kSlice}) {
  MENTOR_CHECK(num_threads >= 1);
}

WorkerPool::~WorkerPool() {
  std::vector<std::thread> threads;
  {
    const MutexLock lock(mutex_);
    MENTOR_CHECK(lanes_.empty());
    stopping_ = true;
    threads.swap(threads_);
  }
  work_.NotifyAll();
  for (std::thread& thread : threads) thread.join();
}

void WorkerPool::Run() {
  const LaneThread thread;
  MutexLock lock(mutex_);
  while (true) {
    while (!stopping_ && begun_.empty()) work_.Wait(lock);
    if (begun_.empty()) return;
    --idle_;
    Lane* lane = begun_.front();
    begun_.pop_front();
    RunLane(lane, lock);
    ++idle_;
  }
}

void WorkerPool::RunLane(Lane* lane, MutexLock& lock) {
  const TurnScope turn(lane);
  lane->has_thread = true;
  Job* job = lane->job;
  while (job->next < job->n) {
    const int64_t i = job->next++;
    if (job->next == job->n) EndFreshLanes(job);
    RunTask(lane, i, lock);
    if (turns_.contended()) FillPlaces();
    if (lane->asked && job->next < job->n) Pause(lane, lock);
  }
  End(lane);
  FillPlaces();
}

void WorkerPool::RunTask(Lane* lane, int64_t i, MutexLock& lock) {
  Job* job = lane->job;
  lock.Unlock();
  const double cpu_before = ThreadCpuSeconds();
  absl::Status status = RunGuarded(*job->task, i, job->interrupt);
  const double cpu_seconds = ThreadCpuSeconds() - cpu_before;
  lock.Lock();
  if (!lane->is_callers) job->cpu_seconds += cpu_seconds;
  if (!status.ok() && i < job->failed_index) {
    job->failed_index = i;
    job->failure = std::move(status);
  }
}

WorkerPool::Lane* WorkerPool::AddLane(Job* job, bool is_callers) {
  const Turns::Id id = next_lane_++;
  Lane* lane = &job->lanes.emplace_back(this, job, id, is_callers);
  ++job->lanes_left;
  lanes_.emplace(id, lane);
  turns_.Add(
      id, caller && caller->share != nullptr ? *caller->share : v1::WorkShare::default_instance());
  return lane;
}

void WorkerPool::Pause(Lane* lane, MutexLock& lock) {
  lane->asked = false;
  lane->has_place = turns_.GoesOn(lane->id, Now());
  if (!lane->has_place) WaitForPlace(lane, lock);
}

void WorkerPool::WaitForPlace(Lane* lane, MutexLock& lock) {
  FillPlaces();
  while (!lane->has_place && !lane->ended && CheckInterrupt(lane->job->interrupt).ok())
    WaitForChange(lane->job, lock);
}

void WorkerPool::WaitForChange(Job* job, MutexLock& lock) {
  job->changed.WaitFor(lock, kSlice);
  FillPlaces();
}

void WorkerPool::TakePlace(PlaceScope* scope, MutexLock& lock) {
  scope->job_->lanes.clear();
  WaitForPlace(AddLane(scope->job_.get(), /*is_callers=*/true), lock);
}

void WorkerPool::GivePlaceBack(PlaceScope* scope) {
  End(&scope->job_->lanes.front());
}

void WorkerPool::EndFreshLanes(Job* job) {
  for (Lane& lane : job->lanes) {
    if (!lane.has_thread && !lane.ended) End(&lane);
  }
}

void WorkerPool::End(Lane* lane) {
  lane->ended = true;
  lanes_.erase(lane->id);
  std::erase(begun_, lane);
  turns_.Remove(lane->id, Now());
  // Under the lock: the caller destroys the job as soon as it sees that the last lane ended.
  if (--lane->job->lanes_left == 0) lane->job->changed.NotifyAll();
}

void WorkerPool::FillPlaces() {
  const Turns::Time now = Now();
  for (const Turns::Id id : turns_.TakePlaces(now)) lanes_.at(id)->asked = true;
  for (const Turns::Id id : turns_.FillPlaces(now)) {
    Lane* lane = lanes_.at(id);
    lane->has_place = true;
    if (lane->has_thread || lane->is_callers) {
      lane->job->changed.NotifyAll();
    } else {
      begun_.push_back(lane);
      work_.NotifyOne();
    }
  }
  try {
    while (idle_ < begun_.size()) {
      threads_.emplace_back([this] { Run(); });
      ++idle_;
    }
  } catch (const std::system_error&) {
    // No more threads can be started, so the caller's thread does all of it.
    while (idle_ < begun_.size()) End(begun_.back());
  }
}

size_t WorkerPool::num_waiting() {
  const MutexLock lock(mutex_);
  return turns_.waiting();
}

absl::Status WorkerPool::ParallelFor(int64_t n, const std::function<absl::Status(int64_t)>& task) {
  if (n <= 0) return absl::OkStatus();
  if (on_lane) return agents::ParallelFor(nullptr, n, task);
  Job job{.n = n, .task = &task};
  PlaceScope* const place =
      place_of_thread != nullptr && place_of_thread->pool_ == this ? place_of_thread : nullptr;
  MutexLock lock(mutex_);
  if (place != nullptr) GivePlaceBack(place);
  Lane* const own = AddLane(&job, /*is_callers=*/true);
  for (int64_t i = 1; i < std::min<int64_t>(n, places_); ++i) AddLane(&job, /*is_callers=*/false);
  WaitForPlace(own, lock);
  if (!own->ended) {
    const LaneThread thread;
    RunLane(own, lock);
  }
  while (job.lanes_left > 0) WaitForChange(&job, lock);
  if (place != nullptr) TakePlace(place, lock);
  caller_cpu_seconds += job.cpu_seconds;
  return job.failure;
}

CallerScope::CallerScope(const std::atomic<bool>* interrupt, const v1::WorkShare* share) {
  MENTOR_CHECK(!caller);
  caller = Caller{.interrupt = interrupt, .share = share};
}

CallerScope::~CallerScope() {
  caller.reset();
}

PlaceScope::PlaceScope(WorkerPool* pool)
    : pool_(pool), job_(pool == nullptr ? nullptr : std::make_unique<WorkerPool::Job>()) {
  if (pool_ == nullptr) return;
  MENTOR_CHECK(!on_lane && place_of_thread == nullptr);
  place_of_thread = this;
  turn_.emplace(this);
  MutexLock lock(pool_->mutex_);
  pool_->TakePlace(this, lock);
}

PlaceScope::~PlaceScope() {
  if (pool_ == nullptr) return;
  place_of_thread = nullptr;
  const MutexLock lock(pool_->mutex_);
  pool_->GivePlaceBack(this);
  pool_->FillPlaces();
}

absl::Status PlaceScope::Continue() {
  return job_->lanes.front().Continue();
}

absl::Status CheckInterrupt() {
  MENTOR_RETURN_IF_ERROR(PausePoint());
  return CheckInterrupt(CallerInterrupt());
}

double WorkerPool::CallerCpuSeconds() {
  return caller_cpu_seconds;
}

absl::Status ParallelFor(WorkerPool* pool, int64_t n,
                         const std::function<absl::Status(int64_t)>& task) {
  if (pool != nullptr) return pool->ParallelFor(n, task);
  absl::Status first;
  for (int64_t i = 0; i < n; ++i) first.Update(RunGuarded(task, i, CallerInterrupt()));
  return first;
}

}  // namespace mentor::agents
