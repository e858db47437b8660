// Watches the free bytes and inodes on the disk of a state folder. It keeps a reserve file there
// and deletes it when the disk is full, since on a full disk a database cannot even delete rows.
// The disk counts as recovered only after a trial file could be written. If the disk fills up again
// soon afterwards, the wait before the next recovery doubles. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include <absl/status/status.h>

#include "common/metrics.h"
#include "common/mutex.h"

namespace mentor::meta_learner {

// Bytes and inodes that this user may still use.
struct DiskRoom {
  uint64_t bytes = 0;
  uint64_t files = 0;
};
DiskRoom RoomOnDiskOf(const std::filesystem::path& folder);

class DiskGuard {
 public:
  using Clock = std::chrono::steady_clock;
  // reserve_bytes 0: no reserve file, as in the run folder of a single experiment.
  DiskGuard(std::filesystem::path folder, uint64_t reserve_bytes, Metrics* metrics,
            std::function<DiskRoom(const std::filesystem::path& folder)> room_of = RoomOnDiskOf);

  // Makes the reserve file if it is missing, and measures the room that is left. The disk counts as
  // full if there is no room at all, or none for the reserve.
  void Look();
  // Reports that a write found the disk full. Deletes the reserve; full() is true until TryRecover
  // succeeds. `who` is the uid of the experiment that wants wanted_bytes.
  void Full(const std::string& who, uint64_t wanted_bytes, Clock::time_point now = Clock::now());
  bool full() const { return full_; }
  // Forgets what experiments other than these wanted.
  void WaitOnlyFor(const std::set<std::string>& who);
  // Needs room for twice the reserve plus twice the largest wanted_bytes, and a trial file that can
  // be written. Then makes the reserve again and clears full(). Returns true if the disk is not
  // full.
  bool TryRecover(Clock::time_point now = Clock::now());
  // Returns RESOURCE_EXHAUSTED DISK_FULL while full.
  absl::Status Check() const;

 private:
  DiskRoom Room() const { return room_of_(folder_); }
  absl::Status MakeReserve();
  absl::Status TryToWrite() const;
  void FullLocked(Clock::time_point now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WaitLongerLocked(Clock::time_point now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Fixed after construction.
  const std::filesystem::path folder_;
  const uint64_t reserve_bytes_;
  const std::function<DiskRoom(const std::filesystem::path& folder)> room_of_;
  prometheus::Gauge& free_bytes_;
  prometheus::Counter& full_total_;
  prometheus::Gauge& full_gauge_;
  std::atomic<bool> full_ = false;
  // Guarded by mutex_.
  Mutex mutex_;
  std::map<std::string, uint64_t> wanted_bytes_ ABSL_GUARDED_BY(mutex_);  // Largest request by uid.
  // Wait before the next attempt to recover; 0 if the last recovery lasted.
  Clock::duration wait_ ABSL_GUARDED_BY(mutex_) = {};
  Clock::time_point not_before_ ABSL_GUARDED_BY(mutex_);
  std::optional<Clock::time_point> recovered_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::meta_learner
