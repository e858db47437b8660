#include "kernels/device_monitor.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/status.h"

namespace mentor::kernels {
namespace {

std::string Amount(uint64_t bytes) {
  return absl::StrFormat("%.3f GB", 1e-9 * static_cast<double>(bytes));
}

}  // namespace

struct DeviceMonitor::Counters {
  explicit Counters(Metrics* metrics)
      : used_bytes(MemoryGauge(metrics, "used")),
        total_bytes(MemoryGauge(metrics, "total")),
        signal_seconds(SecondsOf(metrics, "signal")),
        ppo_seconds(SecondsOf(metrics, "ppo")),
        outer_seconds(SecondsOf(metrics, "outer")),
        to_device_bytes(BytesTo(metrics, "to_device")),
        to_host_bytes(BytesTo(metrics, "to_host")) {}

  static prometheus::Gauge& MemoryGauge(Metrics* metrics, const char* kind) {
    return metrics->Gauge(
        "mentor_device_memory_bytes",
        "Memory of the GPU, whoever uses it; of an emulated device, what its work "
        "has taken of its limit.",
        {{"kind", kind}});
  }
  static prometheus::Counter& SecondsOf(Metrics* metrics, const char* phase) {
    return metrics->Counter("mentor_device_seconds_total",
                            "Time that a GPU, or its emulation, computed for this process.",
                            {{"phase", phase}});
  }
  static prometheus::Counter& BytesTo(Metrics* metrics, const char* direction) {
    return metrics->Counter("mentor_device_transferred_bytes_total",
                            "Bytes moved between the host and its GPU or the emulation of one.",
                            {{"direction", direction}});
  }

  prometheus::Gauge &used_bytes, &total_bytes;
  prometheus::Counter &signal_seconds, &ppo_seconds, &outer_seconds;
  prometheus::Counter &to_device_bytes, &to_host_bytes;
};

DeviceLease::~DeviceLease() {
  if (monitor_ != nullptr) monitor_->Return(bytes_);
}

DeviceMonitor::DeviceMonitor(const Options& options) : options_(options) {}

DeviceMonitor::~DeviceMonitor() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  if (watch_.joinable()) watch_.join();
}

void DeviceMonitor::Expose(Metrics* metrics) {
  counters_ = std::make_unique<Counters>(metrics);
  counters_->total_bytes.Set(static_cast<double>(options_.memory_bytes));
}

DeviceMonitor::Handle DeviceMonitor::OnLost(std::function<void(const absl::Status&)> tell) {
  const MutexLock lock(mutex_);
  const uint64_t number = next_handle_++;
  on_lost_[number] = std::move(tell);
  return Handle(this, [this, number](void*) {
    const MutexLock lock(mutex_);
    on_lost_.erase(number);
  });
}

absl::StatusOr<DeviceLease> DeviceMonitor::Take(uint64_t bytes, std::string_view what,
                                                std::string_view remedy) {
  const MutexLock lock(mutex_);
  if (!HasRoomLocked(bytes)) {
    return MakeError(
        Reason::kDeviceFull,
        absl::StrCat(options_.name, ": ", std::string(what), " needs ", Amount(bytes),
                     " of its memory, ", Amount(options_.memory_bytes - taken_bytes_), " of ",
                     Amount(options_.memory_bytes), " are free: ", std::string(remedy),
                     " (nvidia-smi shows who uses a GPU; --device_memory_gb says how much this "
                     "process may)"));
  }
  taken_bytes_ += bytes;
  ShowTakenLocked();
  return DeviceLease(this, bytes);
}

bool DeviceMonitor::HasRoomLocked(uint64_t bytes) const {
  return options_.memory_bytes == 0 || taken_bytes_ + bytes <= options_.memory_bytes;
}

bool DeviceMonitor::AwaitRoom(uint64_t bytes, std::chrono::milliseconds most) {
  MutexLock lock(mutex_);
  if (options_.memory_bytes > 0 && bytes > options_.memory_bytes) return false;
  changed_.WaitFor(lock, most,
                   [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return HasRoomLocked(bytes); });
  return true;
}

void DeviceMonitor::Return(uint64_t bytes) {
  const MutexLock lock(mutex_);
  taken_bytes_ -= bytes;
  ShowTakenLocked();
  changed_.NotifyAll();
}

void DeviceMonitor::ShowTakenLocked() {
  if (counters_ != nullptr && !memory_is_told_)
    counters_->used_bytes.Set(static_cast<double>(taken_bytes_));
}

void DeviceMonitor::SetMemory(uint64_t used_bytes, uint64_t total_bytes) {
  const MutexLock lock(mutex_);
  memory_is_told_ = true;
  if (counters_ == nullptr) return;
  counters_->used_bytes.Set(static_cast<double>(used_bytes));
  counters_->total_bytes.Set(static_cast<double>(total_bytes));
}

void DeviceMonitor::AddSeconds(DevicePhase phase, double seconds) {
  if (counters_ == nullptr) return;
  switch (phase) {
    case DevicePhase::kSignal:
      return counters_->signal_seconds.Increment(seconds);
    case DevicePhase::kPpo:
      return counters_->ppo_seconds.Increment(seconds);
    case DevicePhase::kOuter:
      return counters_->outer_seconds.Increment(seconds);
  }
}

void DeviceMonitor::AddTransfer(Direction direction, uint64_t bytes) {
  if (counters_ == nullptr) return;
  (direction == Direction::kToDevice ? counters_->to_device_bytes : counters_->to_host_bytes)
      .Increment(static_cast<double>(bytes));
}

void DeviceMonitor::Lost(const absl::Status& why) {
  MENTOR_CHECK(!why.ok());
  std::call_once(told_, [&] {
    std::map<uint64_t, std::function<void(const absl::Status&)>> all;
    {
      const MutexLock lock(mutex_);
      all = on_lost_;
    }
    for (const auto& [number, tell] : all) tell(why);
    if (options_.on_lost) options_.on_lost(why);
  });
}

DeviceMonitor::Waiting::Waiting(DeviceMonitor* monitor) : monitor_(monitor) {
  if (monitor_ == nullptr) return;
  const MutexLock lock(monitor_->mutex_);
  number_ = monitor_->next_wait_++;
  monitor_->waits_[number_] = Clock::now();
  if (!monitor_->watch_.joinable()) {
    monitor_->watch_ = std::thread([monitor = monitor_] { monitor->Watch(); });
  } else if (monitor_->waits_.size() == 1) {
    monitor_->changed_.NotifyAll();
  }
}

DeviceMonitor::Waiting::~Waiting() {
  if (monitor_ == nullptr) return;
  const MutexLock lock(monitor_->mutex_);
  monitor_->waits_.erase(number_);
}

void DeviceMonitor::Watch() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    if (waits_.empty()) {
      changed_.Wait(lock);
      continue;
    }
    // Waits are ordered by their beginning.
    const Clock::time_point late = waits_.begin()->second + options_.deadline;
    if (Clock::now() < late) {
      changed_.WaitUntil(lock, late);
      continue;
    }
    lock.Unlock();
    Lost(absl::DeadlineExceededError(
        absl::StrFormat("%s has not answered for %.3g s", options_.name,
                        std::chrono::duration<double>(options_.deadline).count())));
    return;
  }
}

}  // namespace mentor::kernels
