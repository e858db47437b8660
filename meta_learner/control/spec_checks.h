// Caches what checks of specs found. A check makes the spec's parts, which takes tens of
// milliseconds, and sweeps submit the same spec with many seeds. Thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "common/mutex.h"
#include "common/spec/spec.h"
#include "common/violations.h"

namespace mentor::meta_learner {

template <typename Facts>
class SpecCache {
 public:
  // `check` finds nothing, with violations, where a spec does not fit. It must not depend on seed,
  // title and checkpoint of a spec.
  using Check =
      std::function<std::optional<Facts>(const v1::ExperimentSpec& spec, Violations* violations)>;
  explicit SpecCache(Check check) : check_(std::move(check)) {}

  // What the check finds, or has found recently for a spec that differs in these only.
  std::optional<Facts> Get(v1::ExperimentSpec spec, Violations* violations) {
    const uint64_t seed = spec.seed();
    spec.clear_seed();
    const std::string key = SpecHash(spec);
    {
      const MutexLock lock(mutex_);
      if (const auto found = known_.find(key); found != known_.end()) return found->second;
    }
    spec.set_seed(seed);
    std::optional<Facts> facts = check_(spec, violations);
    const MutexLock lock(mutex_);
    if (!facts || !known_.emplace(key, *facts).second) return facts;
    order_.push_back(key);
    if (order_.size() <= kRemembered) return facts;
    known_.erase(order_.front());
    order_.pop_front();
    return facts;
  }

 private:
  static constexpr size_t kRemembered = 1024;
  const Check check_;
  Mutex mutex_;
  std::map<std::string, Facts> known_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::string> order_ ABSL_GUARDED_BY(mutex_);  // Oldest first.
};

}  // namespace mentor::meta_learner
