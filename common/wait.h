// A sleep that a stop request ends.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>

namespace mentor {

// Sleeps for `span`, or until `stop` is requested. Returns true if it is requested.
inline bool StopRequestedWithin(const std::stop_token& stop, std::chrono::nanoseconds span) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  return changed.wait_for(lock, stop, span, [&] { return stop.stop_requested(); });
}

}  // namespace mentor
