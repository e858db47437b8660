#include "common/rpc/rate_limit.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>

#include "common/status.h"

namespace mentor::rpc {

double RateLimiter::LevelAt(const Bucket& bucket, Clock::time_point now) const {
  const double seconds = std::max(0.0, std::chrono::duration<double>(now - bucket.at).count());
  return std::min(options_.burst, bucket.level + seconds * options_.calls_per_second);
}

absl::Status RateLimiter::Admit(std::string_view caller, Clock::time_point now) {
  if (options_.calls_per_second <= 0) return absl::OkStatus();
  MutexLock lock(mutex_);
  auto found = buckets_.find(caller);
  if (found == buckets_.end()) {
    if (buckets_.size() >= options_.callers_max) {
      std::erase_if(buckets_, [&](const auto& entry) {
        return LevelAt(entry.second, now) >= options_.burst;
      });
    }
    // Names come from tables of tokens and from trusted certificates, so a full table means that
    // all callers are busy.
    if (buckets_.size() >= options_.callers_max) {
      return WithRetryDelay(
          MakeError(Reason::kRateLimited,
                    absl::StrCat(options_.callers_max, " callers are busy; try again later")),
          std::chrono::seconds(1));
    }
    found = buckets_.emplace(std::string(caller), Bucket{options_.burst, now}).first;
  }
  Bucket& bucket = found->second;
  bucket.level = LevelAt(bucket, now);
  bucket.at = std::max(bucket.at, now);
  if (bucket.level >= 1) {
    bucket.level -= 1;
    return absl::OkStatus();
  }
  const std::chrono::milliseconds delay(
      static_cast<int64_t>(std::ceil((1 - bucket.level) / options_.calls_per_second * 1000)));
  return WithRetryDelay(
      MakeError(
          Reason::kRateLimited,
          absl::StrCat("'", std::string(caller), "' makes more than ", options_.calls_per_second,
                       " calls a second; try again in ", delay.count(), " ms"),
          {{"calls_per_second", absl::StrCat(options_.calls_per_second)}}),
      delay);
}

}  // namespace mentor::rpc
