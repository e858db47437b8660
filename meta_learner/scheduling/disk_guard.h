// Watches the room on the disk of a state folder: bytes, and inodes for files. A reserve file is
// kept there and given back when the disk is full, since on a full disk a database cannot even
// delete. A disk is not believed to have room again before a file could be written; one that is
// full again soon afterwards is believed later each time. Thread-safe.
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

// What is free for this user.
struct DiskRoom {
  uint64_t bytes = 0;
  uint64_t files = 0;
};
DiskRoom RoomOnDiskOf(const std::filesystem::path& folder);

class DiskGuard {
 public:
  using Clock = std::chrono::steady_clock;
  // reserve_bytes 0: no reserve file, as for a run folder of one experiment.
  DiskGuard(std::filesystem::path folder, uint64_t reserve_bytes, Metrics* metrics,
            std::function<DiskRoom(const std::filesystem::path& folder)> room_of = RoomOnDiskOf);

  // Makes the reserve where there is none. Also looks how much room is left: a disk that has none,
  // or none for the reserve, is full.
  void Look();
  // Something found the disk full: the reserve is given back. Until TryRecover, full() is true.
  // `who` is what TryRecover waits for: the uid of an experiment.
  void Full(const std::string& who, uint64_t wanted_bytes, Clock::time_point now = Clock::now());
  bool full() const { return full_; }
  // Others than these want no room any more.
  void WaitOnlyFor(const std::set<std::string>& who);
  // Room for twice the reserve and twice the most that is wanted, and a file that could be written:
  // then the reserve is made again and full() is false.
  bool TryRecover(Clock::time_point now = Clock::now());
  // RESOURCE_EXHAUSTED DISK_FULL while full.
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
  std::map<std::string, uint64_t> wanted_bytes_ ABSL_GUARDED_BY(mutex_);  // The most by who.
  // Before the next attempt to recover; 0 after the first time for long.
  Clock::duration wait_ ABSL_GUARDED_BY(mutex_) = {};
  Clock::time_point not_before_ ABSL_GUARDED_BY(mutex_);
  std::optional<Clock::time_point> recovered_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::meta_learner
