// Settled resets of all environments of the process, keyed by everything they depend on. A
// Meta-World reset is 250 simulator steps, a function of (task, rand_vec, goal visible, physics). A
// later reset may take the saved state of an earlier one: the same bits in a thousandth of the
// time. Also keeps, under separate keys, the parts of resets that do not depend on the rand_vec
// (MetaWorldEnvironment::HandReset) or on chance (mjcf::MjcfEnvironment). Bounded; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "common/mutex.h"

namespace mentor::envs {

class SettledResets {
 public:
  // About 3.5 KB each: 4096 are 14 MB, enough for 50 goals of each of 50 environments.
  explicit SettledResets(size_t entries_max = 4096) : entries_max_(entries_max) {}

  static SettledResets& Instance();

  std::shared_ptr<const std::string> Find(const std::string& key);
  void Add(const std::string& key, std::string state);
  size_t size() const;
  void Clear();

 private:
  struct Entry {
    std::shared_ptr<const std::string> state;
    uint64_t last_use = 0;
  };
  const size_t entries_max_;
  mutable Mutex mutex_;
  // Guarded by mutex_.
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, std::string> by_use_
      ABSL_GUARDED_BY(mutex_);  // The first is the one used longest ago.
  uint64_t uses_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace mentor::envs
