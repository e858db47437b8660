// Messages from one thread of a test to another: a queue with a deadline on every wait.
// Thread-safe.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <stdexcept>
#include <utility>

#include "common/mutex.h"

namespace mentor::testing {

// Far longer than a loaded machine needs; only a broken test waits so long.
inline constexpr std::chrono::seconds kPatience{60};

template <typename T>
class Mailbox {
 public:
  void Push(T value) {
    MutexLock lock(mutex_);
    values_.push_back(std::move(value));
    changed_.NotifyAll();
  }
  // Throws when nothing comes.
  T Pop() {
    MutexLock lock(mutex_);
    if (!changed_.WaitFor(lock, kPatience, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
          return !values_.empty();
        })) {
      throw std::runtime_error("nothing arrived in the mailbox");
    }
    T value = std::move(values_.front());
    values_.pop_front();
    return value;
  }
  std::optional<T> TryPop() {
    MutexLock lock(mutex_);
    if (values_.empty()) return std::nullopt;
    T value = std::move(values_.front());
    values_.pop_front();
    return value;
  }
  size_t size() const {
    MutexLock lock(mutex_);
    return values_.size();
  }

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<T> values_ ABSL_GUARDED_BY(mutex_);
};

// Waits until condition() holds, which something calls Notify after. Throws at the deadline.
class Signal {
 public:
  void Notify() {
    MutexLock lock(mutex_);
    changed_.NotifyAll();
  }
  template <typename Condition>
  void WaitUntil(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    MutexLock lock(mutex_);
    while (!condition()) {
      // Conditions without a Notify, such as a counter in the code under test, are checked again
      // now and then.
      if (std::chrono::steady_clock::now() > deadline)
        throw std::runtime_error("the condition did not come true");
      changed_.WaitFor(lock, std::chrono::milliseconds(5));
    }
  }

 private:
  Mutex mutex_;
  CondVar changed_;
};

}  // namespace mentor::testing
