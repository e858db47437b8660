// Runs short pieces of work, calls of users and refreshes of watches, on a few threads of its own,
// so that gRPC's threads never wait for a disk. Those who wait take turns: one caller's many pieces
// hold up another's by one round, and one caller's long ones leave threads to others. Tasks of no
// caller ("") are nobody's: they may take all threads. Owned by a service. Thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "common/mutex.h"

namespace mentor::meta_learner {

class Executor {
 public:
  // per_caller_max: tasks of one caller that are at work at once.
  Executor(int num_threads, size_t items_max, int per_caller_max);
  Executor(int num_threads, size_t items_max) : Executor(num_threads, items_max, num_threads) {}
  ~Executor();  // Stops.

  // False when the line is full or Stop was called: the task will not run. A line that others have
  // filled still takes some of a caller that has few there.
  bool Post(std::function<void()> task, const std::string& caller = "");
  // For tasks whose number is bounded by other means: the limit of the line does not apply.
  bool PostAlways(std::function<void()> task, const std::string& caller = "");
  // Runs what is in line, takes no more, waits for the end. Not from a task.
  void Stop();

 private:
  bool IsFull(const std::string& caller) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Add(std::function<void()> task, const std::string& caller)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The next caller whose task may begin; the end of turns_ without one.
  std::deque<std::string>::iterator NextLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Work();

  // Fixed after construction.
  const size_t items_max_;
  const int per_caller_max_;
  // Guarded by mutex_.
  Mutex mutex_;
  CondVar changed_;
  // By caller; only of those who wait.
  std::map<std::string, std::deque<std::function<void()>>> tasks_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::string> turns_ ABSL_GUARDED_BY(mutex_);  // Callers, whose turn is next first.
  std::map<std::string, int> at_work_ ABSL_GUARDED_BY(mutex_);  // By caller, without "".
  size_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // Last, so that they stop first. Joined by the first Stop.
  std::vector<std::thread> threads_;
};

}  // namespace mentor::meta_learner
