// Runs short tasks, such as users' calls and refreshes of watches, on a few threads of its own. So
// gRPC's threads never wait for a disk. Callers take turns: many tasks of one caller delay another
// caller by one round only. Long tasks of one caller leave threads to others. Tasks without a
// caller ("") may take all threads. Owned by a service. Thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "common/mutex.h"

namespace mentor::rpc {

class Executor {
 public:
  // per_caller_max: tasks of one caller that run at once.
  Executor(int num_threads, size_t items_max, int per_caller_max);
  Executor(int num_threads, size_t items_max) : Executor(num_threads, items_max, num_threads) {}
  ~Executor();  // Stops.

  // Returns false when the line is full or Stop was called: the task will not run. A line that is
  // full of other callers' tasks still takes a few from a caller with few there.
  bool Post(std::function<void()> task, const std::string& caller = "");
  // Ignores the limit of the line, for tasks whose number is bounded by other means.
  bool PostAlways(std::function<void()> task, const std::string& caller = "");
  // Runs the queued tasks, takes no more, and waits for the end. Must not be called from a task.
  void Stop();

 private:
  bool IsFull(const std::string& caller) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Add(std::function<void()> task, const std::string& caller)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Returns the next caller whose task may begin; turns_.end() if there is none.
  std::deque<std::string>::iterator NextLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Work();

  const size_t items_max_;
  const int per_caller_max_;
  // Guarded by mutex_.
  Mutex mutex_;
  CondVar changed_;
  // By caller; only callers with waiting tasks.
  std::map<std::string, std::deque<std::function<void()>>> tasks_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::string> turns_ ABSL_GUARDED_BY(mutex_);  // Callers in the order of their turns.
  std::map<std::string, int> at_work_ ABSL_GUARDED_BY(mutex_);  // By caller, without "".
  size_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // Last member, so that the threads stop first. Joined by the first Stop.
  std::vector<std::thread> threads_;
};

}  // namespace mentor::rpc
