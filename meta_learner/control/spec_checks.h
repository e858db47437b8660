// The check of a spec makes its parts, which takes tens of milliseconds; sweeps submit the same
// spec with many seeds. So what was found out about a spec is remembered. Thread-safe.
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

// The same check, but for specs with the key of one that was valid lately. `check` must not look at
// what SpecKey leaves out.
SpecCheck RememberValid(SpecCheck check);

// What was found out about the last specs, by SpecKey.
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

// Of a spec: the same for specs that only differ in seed, title and checkpoint, on which neither
// the parts of an experiment nor their memory depend.
std::string SpecKey(const v1::ExperimentSpec& spec);

}  // namespace mentor::meta_learner
