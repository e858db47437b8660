#include "common/rpc/executor.h"

#include <algorithm>
#include <utility>

namespace mentor::rpc {

Executor::Executor(int num_threads, size_t items_max, int per_caller_max)
    : items_max_(items_max), per_caller_max_(per_caller_max) {
  for (int i = 0; i < num_threads; ++i) threads_.emplace_back([this] { Work(); });
}

Executor::~Executor() {
  Stop();
}

bool Executor::Post(std::function<void()> task, const std::string& caller) {
  const MutexLock lock(mutex_);
  if (stopping_ || IsFull(caller)) return false;
  Add(std::move(task), caller);
  return true;
}

bool Executor::PostAlways(std::function<void()> task, const std::string& caller) {
  const MutexLock lock(mutex_);
  if (stopping_) return false;
  Add(std::move(task), caller);
  return true;
}

bool Executor::IsFull(const std::string& caller) const {
  constexpr size_t kOwnPart = 8;
  if (waiting_ < items_max_) return false;
  const auto own = tasks_.find(caller);
  const size_t mine = own == tasks_.end() ? 0 : own->second.size();
  return waiting_ >= items_max_ + items_max_ / 2 || mine >= items_max_ / kOwnPart;
}

void Executor::Add(std::function<void()> task, const std::string& caller) {
  std::deque<std::function<void()>>& own = tasks_[caller];
  if (own.empty()) turns_.push_back(caller);
  own.push_back(std::move(task));
  ++waiting_;
  changed_.NotifyOne();
}

void Executor::Stop() {
  std::vector<std::thread> threads;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    threads.swap(threads_);
    changed_.NotifyAll();
  }
  for (std::thread& thread : threads) thread.join();
}

std::deque<std::string>::iterator Executor::NextLocked() {
  return std::find_if(turns_.begin(), turns_.end(),
                      [this](const std::string& caller) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                        const auto own = at_work_.find(caller);
                        return own == at_work_.end() || own->second < per_caller_max_;
                      });
}

void Executor::Work() {
  MutexLock lock(mutex_);
  while (true) {
    const auto next = NextLocked();
    if (next == turns_.end()) {
      // The remaining tasks belong to callers at their limit; the threads that serve these callers
      // run them.
      if (stopping_) return;
      changed_.Wait(lock);
      continue;
    }
    const std::string caller = std::move(*next);
    turns_.erase(next);
    const auto own = tasks_.find(caller);
    std::function<void()> task = std::move(own->second.front());
    own->second.pop_front();
    --waiting_;
    if (own->second.empty()) {
      tasks_.erase(own);
    } else {
      turns_.push_back(caller);
    }
    if (!caller.empty()) ++at_work_[caller];
    lock.Unlock();
    task();
    task = nullptr;  // Destroy the task without the lock: its captures may take the mutex.
    lock.Lock();
    if (!caller.empty() && --at_work_[caller] == 0) at_work_.erase(caller);
  }
}

}  // namespace mentor::rpc
