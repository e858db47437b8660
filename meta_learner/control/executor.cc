#include "meta_learner/control/executor.h"

#include <limits>
#include <utility>

namespace mentor::meta_learner {

Executor::Executor(int num_threads, size_t items_max) : items_max_(items_max) {
  for (int i = 0; i < num_threads; ++i) threads_.emplace_back([this] { Work(); });
}

Executor::~Executor() {
  Stop();
}

bool Executor::Post(std::function<void()> task) {
  return Add(std::move(task), items_max_);
}

bool Executor::PostAlways(std::function<void()> task) {
  return Add(std::move(task), std::numeric_limits<size_t>::max());
}

bool Executor::Add(std::function<void()> task, size_t items_max) {
  const MutexLock lock(mutex_);
  if (stopping_ || tasks_.size() >= items_max) return false;
  tasks_.push_back(std::move(task));
  changed_.NotifyOne();
  return true;
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
    while (!stopping_ && tasks_.empty()) changed_.Wait(lock);
    if (tasks_.empty()) return;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.Unlock();
    task();
    task = nullptr;  // What it holds may take the mutex when it goes.
    lock.Lock();
  }
}

}  // namespace mentor::meta_learner
