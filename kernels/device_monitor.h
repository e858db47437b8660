// The state that all computations on one device share: their memory limit, counts of computed and
// moved data, and whether the device has failed. Thread-safe.
//
// A failed device stays failed for the whole process. It fails by an error of CUDA that is not
// about one call, or by no answer in time. Lost() tells the registered callbacks, and the program
// then ends the process. Other processes compute its work again.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/metrics.h"
#include "common/mutex.h"

namespace mentor::kernels {

// What a device computes, for metrics.
enum class DevicePhase { kSignal, kPpo, kOuter };

enum class Direction { kToDevice, kToHost };

class DeviceMonitor;

// A share of a device's memory, until it is destroyed.
class DeviceLease {
 public:
  DeviceLease() = default;
  DeviceLease(DeviceLease&& other) noexcept { *this = std::move(other); }
  DeviceLease& operator=(DeviceLease&& other) noexcept {
    std::swap(monitor_, other.monitor_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~DeviceLease();

 private:
  friend class DeviceMonitor;
  DeviceLease(DeviceMonitor* monitor, uint64_t bytes) : monitor_(monitor), bytes_(bytes) {}
  DeviceMonitor* monitor_ = nullptr;
  uint64_t bytes_ = 0;
};

class DeviceMonitor {
 public:
  struct Options {
    std::string name = "device";  // For people.
    // Memory that all computations together may take; 0: no limit.
    uint64_t memory_bytes = 0;
    // A device that does not answer for this long has failed.
    std::chrono::milliseconds deadline{120'000};
    // The program's reaction when the device has failed; null: none.
    std::function<void(const absl::Status& why)> on_lost = nullptr;
  };
  explicit DeviceMonitor(const Options& options);
  ~DeviceMonitor();
  DeviceMonitor(const DeviceMonitor&) = delete;
  DeviceMonitor& operator=(const DeviceMonitor&) = delete;

  // Counts there from now on. Call it once, before use; the metrics live as long as the monitor's
  // users.
  void Expose(Metrics* metrics);
  // Calls `tell` when the device has failed, before the program ends, while the handle lives. The
  // monitor outlives it.
  using Handle = std::shared_ptr<void>;
  Handle OnLost(std::function<void(const absl::Status& why)> tell);

  const Options& options() const { return options_; }
  uint64_t memory_bytes() const { return options_.memory_bytes; }
  // RESOURCE_EXHAUSTED DEVICE_FULL with both numbers when less memory is left: "`what` needs ...";
  // `remedy` follows. The monitor outlives the lease.
  absl::StatusOr<DeviceLease> Take(uint64_t bytes, std::string_view what, std::string_view remedy);
  // Waits for leases to come back, `most` at most. False, at once, where so much never fits.
  bool AwaitRoom(uint64_t bytes, std::chrono::milliseconds most);

  // Memory of the whole GPU. On an emulated device, the memory taken is the memory in use.
  void SetMemory(uint64_t used_bytes, uint64_t total_bytes);
  void AddSeconds(DevicePhase phase, double seconds);
  void AddTransfer(Direction direction, uint64_t bytes);

  // Marks the device as failed. Returns, if at all, when all callbacks have run, whichever caller
  // was first.
  void Lost(const absl::Status& why);

  // While it lives, a thread waits for the device. If that lasts too long, the device is lost.
  class Waiting {
   public:
    explicit Waiting(DeviceMonitor* monitor);  // Null: no watch.
    ~Waiting();
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    DeviceMonitor* const monitor_;
    uint64_t number_ = 0;
  };

 private:
  friend class DeviceLease;
  using Clock = std::chrono::steady_clock;
  struct Counters;

  void Return(uint64_t bytes);
  bool HasRoomLocked(uint64_t bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ShowTakenLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Watch();

  // Fixed after construction, or after Expose.
  const Options options_;
  std::unique_ptr<Counters> counters_;  // Null: no counts.
  // Guarded by mutex_.
  mutable Mutex mutex_;
  CondVar changed_;
  uint64_t taken_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool memory_is_told_ ABSL_GUARDED_BY(mutex_) = false;  // SetMemory was called.
  uint64_t next_wait_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<uint64_t, Clock::time_point> waits_ ABSL_GUARDED_BY(mutex_);  // Beginnings of the waits.
  uint64_t next_handle_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<uint64_t, std::function<void(const absl::Status&)>> on_lost_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::once_flag told_;
  // Begins with the first wait. Last, so that it stops first.
  std::thread watch_;
};

}  // namespace mentor::kernels
