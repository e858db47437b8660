// Watches the room on the disk of a state folder. A reserve file is kept there and given back when
// the disk is full, since on a full disk a database cannot even delete. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>

#include <absl/status/status.h>

#include "common/metrics.h"
#include "common/mutex.h"

namespace mentor::meta_learner {

class DiskGuard {
 public:
  // reserve_bytes 0: no reserve file, as for a run folder of one experiment.
  DiskGuard(std::filesystem::path folder, uint64_t reserve_bytes, Metrics* metrics);

  // Makes the reserve where there is none and the room is there. Also looks how much room is left.
  void Look();
  // Something found the disk full: the reserve is given back. Until HasRoom, full() is true.
  void Full(uint64_t wanted_bytes);
  bool full() const { return full_; }
  // Room for twice the reserve and twice what was wanted last: then the reserve is made again and
  // full() is false.
  bool TryRecover();
  // RESOURCE_EXHAUSTED DISK_FULL while full.
  absl::Status Check() const;

 private:
  uint64_t FreeBytes() const;
  absl::Status MakeReserve();

  // Fixed after construction.
  const std::filesystem::path folder_;
  const uint64_t reserve_bytes_;
  prometheus::Gauge& free_bytes_;
  prometheus::Counter& full_total_;
  prometheus::Gauge& full_gauge_;
  std::atomic<bool> full_ = false;
  // Guarded by mutex_.
  Mutex mutex_;
  uint64_t wanted_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace mentor::meta_learner
