#include "kernels/flags/device_flags.h"

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>
#include <absl/strings/str_cat.h>
#include <unistd.h>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/log.h"
#include "common/process/command_line.h"
#include "common/process/flags.h"
#include "kernels/device_monitor.h"

namespace mentor::kernels {
namespace {

// Ends the process without cleaning up: work on the device may never end, and no lasting state is
// in this process only.
void EndProcess(const absl::Status& why) {
  MENTOR_LOG(kError, "the device has failed; this process ends", {{"why", why}});
  Fail(why, kExitDevice);
  std::fflush(nullptr);
  _exit(kExitDevice);
}

DeviceMonitor::Options WatchOf(const std::string& name, const DeviceFlags& flags) {
  return {.name = name,
          .deadline = std::chrono::milliseconds(static_cast<int64_t>(flags.timeout_s * 1000)),
          .on_lost = EndProcess};
}

absl::StatusOr<DeviceMonitor::Options> MonitorOf(const Device& device, const DeviceFlags& flags) {
  DeviceMonitor::Options options = WatchOf(device.name, flags);
  if (flags.memory_gb) {
    options.memory_bytes = static_cast<uint64_t>(*flags.memory_gb * 1e9);
  } else if (device.kind == DeviceKind::kCuda) {
    MENTOR_ASSIGN_OR_RETURN(const GpuMemory memory, MemoryOfGpu(device.index));
    options.memory_bytes = memory.free_bytes;
  }
  return options;
}

}  // namespace

void AddDeviceFlags(CLI::App* app, DeviceFlags* flags) {
  app->add_option("--device", flags->device,
                  "Where agents and signal networks learn: cpu; cuda, cuda:N or cuda:UUID, a GPU, "
                  "in a program with kernels; or emulated, a GPU's kernels on the CPU, slow "
                  "and for tests. The results have the same bits everywhere")
      ->capture_default_str();
  app->add_option("--device_memory_gb", flags->memory_gb,
                  "Memory that work may take of a device other than the CPU, GB: what needs more "
                  "is refused; 0: no limit. Default: what the GPU has free at the start, and no "
                  "limit where it is emulated")
      ->check(NumberIn(0, 1e6));
  app->add_option("--device_timeout_s", flags->timeout_s,
                  "A GPU that does not answer for so many seconds has failed: the process ends "
                  "with exit code 6")
      ->check(NumberIn(0.1, 86'400))
      ->capture_default_str();
}

absl::StatusOr<Device> OpenDevice(const DeviceFlags& flags) {
  // A driver that does not answer would hold up the process before there is a device to watch.
  DeviceMonitor start(WatchOf("--device " + flags.device, flags));
  const auto list_gpus = [&] {
    const DeviceMonitor::Waiting waiting(&start);
    MENTOR_FAILPOINT("device.open");
    return ListGpus();
  };
  absl::StatusOr<Device> device = DeviceOfFlag(flags.device, list_gpus);
  if (!device.ok()) return absl::InvalidArgumentError(device.status().message());
  const auto options = [&] {
    const DeviceMonitor::Waiting waiting(device->kind == DeviceKind::kCuda ? &start : nullptr);
    return MonitorOf(*device, flags);
  }();
  if (!options.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--device ", flags.device, ": ", std::string(options.status().message())));
  }
  device->monitor = std::make_shared<DeviceMonitor>(*options);
  return device;
}

}  // namespace mentor::kernels
