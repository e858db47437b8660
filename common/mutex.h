// A mutex, its lock and a condition variable that clang's thread-safety analysis understands. The
// build of preset clang fails if a member with ABSL_GUARDED_BY(mutex_) is used without the lock.
// They are thin wrappers of std::mutex, std::unique_lock and std::condition_variable, which
// ThreadSanitizer knows. The mutex of Abseil's prebuilt library causes false alarms there.
//
//   Mutex mutex_;
//   CondVar changed_;
//   std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
//
//   MutexLock lock(mutex_);
//   while (tasks_.empty()) changed_.Wait(lock);
//
// The analysis does not follow a lock into a lambda. A lambda called with the lock must say so:
//   [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !tasks_.empty(); }
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <utility>

#include <absl/base/thread_annotations.h>

namespace mentor {

class ABSL_LOCKABLE Mutex {
 public:
  constexpr Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  // Only for a lock that passes from one function to another; otherwise use a MutexLock.
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  friend class MutexLock;
  std::mutex mutex_;
};

// Holds a mutex to the end of the scope, except between Unlock and Lock.
class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : lock_(mutex.mutex_) {}
  ~MutexLock() ABSL_UNLOCK_FUNCTION() {}
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void Unlock() ABSL_UNLOCK_FUNCTION() { lock_.unlock(); }
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { lock_.lock(); }

 private:
  friend class CondVar;
  std::unique_lock<std::mutex> lock_;
};

// Waits release the lock while they sleep, and may wake spuriously. Waits with a condition continue
// until the condition holds or the time is up, and return the condition's last value.
class CondVar {
 public:
  void NotifyOne() { changed_.notify_one(); }
  void NotifyAll() { changed_.notify_all(); }

  void Wait(MutexLock& lock) { changed_.wait(lock.lock_); }
  template <typename Span, typename Condition>
  bool WaitFor(MutexLock& lock, Span span, Condition condition) {
    return changed_.wait_for(lock.lock_, span, std::move(condition));
  }
  template <typename Time, typename Condition>
  bool WaitUntil(MutexLock& lock, Time time, Condition condition) {
    return changed_.wait_until(lock.lock_, time, std::move(condition));
  }
  template <typename Span>
  void WaitFor(MutexLock& lock, Span span) {
    changed_.wait_for(lock.lock_, span);
  }
  template <typename Time>
  void WaitUntil(MutexLock& lock, Time time) {
    changed_.wait_until(lock.lock_, time);
  }

 private:
  std::condition_variable changed_;
};

// Sleeps for `span`, or until `stop` is requested. Returns true if it is requested.
inline bool StopRequestedWithin(const std::stop_token& stop, std::chrono::nanoseconds span) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  return changed.wait_for(lock, stop, span, [&] { return stop.stop_requested(); });
}

}  // namespace mentor
