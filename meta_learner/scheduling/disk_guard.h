// Watches the room on the disk of a state folder. A reserve file is kept there and given back when
// the disk is full, since on a full disk a database cannot even delete. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include <absl/status/status.h>

#include "common/metrics.h"
#include "common/mutex.h"

namespace mentor::meta_learner {

class DiskGuard {
 public:
  // reserve_bytes 0: no reserve file, as for a run folder of one experiment.
  DiskGuard(std::filesystem::path folder, uint64_t reserve_bytes, Metrics* metrics);

  // Makes the reserve where there is none. Also looks how much room is left: a disk that has none,
  // or none for the reserve, is full.
  void Look();
  // Something found the disk full: the reserve is given back. Until TryRecover, full() is true.
  // `who` is what TryRecover waits for: the uid of an experiment.
  void Full(const std::string& who, uint64_t wanted_bytes);
  bool full() const { return full_; }
  // Others than these want no room any more.
  void WaitOnlyFor(const std::set<std::string>& who);
  // Room for twice the reserve and twice the most that is wanted: then the reserve is made again
  // and full() is false.
  bool TryRecover();
  // RESOURCE_EXHAUSTED DISK_FULL while full.
  absl::Status Check() const;

 private:
  uint64_t FreeBytes() const;
  absl::Status MakeReserve();
  void FullLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Fixed after construction.
  const std::filesystem::path folder_;
  const uint64_t reserve_bytes_;
  prometheus::Gauge& free_bytes_;
  prometheus::Counter& full_total_;
  prometheus::Gauge& full_gauge_;
  std::atomic<bool> full_ = false;
  // Guarded by mutex_.
  Mutex mutex_;
  std::map<std::string, uint64_t> wanted_bytes_ ABSL_GUARDED_BY(mutex_);  // The most by who.
};

}  // namespace mentor::meta_learner
