// What one thread of a test tells another: a queue with a deadline on every wait. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>

namespace mentor::testing {

// Far beyond what a loaded machine needs; only a broken test waits so long.
inline constexpr std::chrono::seconds kPatience{60};

template <typename T>
class Mailbox {
 public:
  void Push(T value) {
    std::lock_guard lock(mutex_);
    values_.push_back(std::move(value));
    changed_.notify_all();
  }
  // Throws when nothing comes.
  T Pop() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [&] { return !values_.empty(); })) {
      throw std::runtime_error("nothing arrived in the mailbox");
    }
    T value = std::move(values_.front());
    values_.pop_front();
    return value;
  }
  std::optional<T> TryPop() {
    std::lock_guard lock(mutex_);
    if (values_.empty()) return std::nullopt;
    T value = std::move(values_.front());
    values_.pop_front();
    return value;
  }
  size_t size() const {
    std::lock_guard lock(mutex_);
    return values_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> values_;
};

// Waits until condition() holds, which something calls Notify after. Throws at the deadline.
class Signal {
 public:
  void Notify() {
    std::lock_guard lock(mutex_);
    changed_.notify_all();
  }
  template <typename Condition>
  void WaitUntil(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    std::unique_lock lock(mutex_);
    while (!condition()) {
      // Conditions that nobody announces (a counter in the code under test) are looked at again now and then.
      if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("the condition did not come true");
      changed_.wait_for(lock, std::chrono::milliseconds(5));
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace mentor::testing
