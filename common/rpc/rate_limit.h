// A token bucket for each caller: a burst at once, then a number of calls per second. Thread-safe.
//
//   if (absl::Status status = limiter.Admit(CallerOf(*context).counted_as()); !status.ok()) return
//   status;
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include <absl/status/status.h>

#include "common/mutex.h"

namespace mentor::rpc {

class RateLimiter {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    double calls_per_second = 100;  // 0: no limit.
    double burst = 200;
    // Above this many callers, those with full buckets are forgotten, which changes nothing for
    // them.
    size_t callers_max = 4096;
  };
  explicit RateLimiter(const Options& options) : options_(options) {}

  // Returns OK, or RESOURCE_EXHAUSTED RATE_LIMITED with a retry delay. Refused calls cost the
  // caller nothing.
  absl::Status Admit(std::string_view caller, Clock::time_point now = Clock::now());

 private:
  struct Bucket {
    double level;
    Clock::time_point at;
  };
  double LevelAt(const Bucket& bucket, Clock::time_point now) const;

  const Options options_;

  Mutex mutex_;
  std::map<std::string, Bucket, std::less<>> buckets_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::rpc
