#include "meta_learner/control/executor.h"

#include <utility>

namespace mentor::meta_learner {

Executor::Executor(int num_threads, size_t items_max) : items_max_(items_max) {
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

bool Executor::PostAlways(std::function<void()> task) {
  const MutexLock lock(mutex_);
  if (stopping_) return false;
  Add(std::move(task), "");
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

void Executor::Work() {
  MutexLock lock(mutex_);
  while (true) {
    while (!stopping_ && waiting_ == 0) changed_.Wait(lock);
    if (waiting_ == 0) return;
    const std::string caller = std::move(turns_.front());
    turns_.pop_front();
    const auto own = tasks_.find(caller);
    std::function<void()> task = std::move(own->second.front());
    own->second.pop_front();
    --waiting_;
    if (own->second.empty()) {
      tasks_.erase(own);
    } else {
      turns_.push_back(caller);
    }
    lock.Unlock();
    task();
    task = nullptr;  // What it holds may take the mutex when it goes.
    lock.Lock();
  }
}

}  // namespace mentor::meta_learner
