// Caches the results of checking specs. A check makes the spec's parts, which takes tens of
// milliseconds, and sweeps submit the same spec with many seeds. Thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/mutex.h"
#include "common/violations.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::meta_learner {

using SpecCheck = std::function<void(const v1::ExperimentSpec& spec, Violations* violations)>;

// Returns `check`, but skips specs whose SpecKey was found valid recently. `check` must not depend
// on fields that SpecKey leaves out.
SpecCheck RememberValid(SpecCheck check);

// Results for the most recent specs, by SpecKey.
template <typename T>
class SpecCache {
 public:
  std::optional<T> Find(const std::string& key) const {
    const MutexLock lock(mutex_);
    const auto found = known_.find(key);
    return found == known_.end() ? std::nullopt : std::optional<T>(found->second);
  }
  void Add(const std::string& key, T value) {
    const MutexLock lock(mutex_);
    if (!known_.emplace(key, std::move(value)).second) return;
    order_.push_back(key);
    if (order_.size() <= kRemembered) return;
    known_.erase(order_.front());
    order_.pop_front();
  }

 private:
  static constexpr size_t kRemembered = 1024;
  mutable Mutex mutex_;
  std::map<std::string, T> known_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::string> order_ ABSL_GUARDED_BY(mutex_);  // Oldest first.
};

// Returns the same key for specs that differ only in seed, title and checkpoint. The parts of an
// experiment and their memory do not depend on these.
std::string SpecKey(const v1::ExperimentSpec& spec);

}  // namespace mentor::meta_learner
