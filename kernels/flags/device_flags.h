// The flags of every program that computes on a device, and the reaction to its failure. One
// thread.
#pragma once

#include <optional>
#include <string>

#include <absl/status/statusor.h>

#include "kernels/device.h"

namespace CLI {
class App;
}  // namespace CLI

namespace mentor::kernels {

struct DeviceFlags {
  std::string device = "cpu";
  std::optional<double> memory_gb;
  double timeout_s = 120;
};

// --device, --device_memory_gb and --device_timeout_s.
void AddDeviceFlags(CLI::App* app, DeviceFlags* flags);

// See DeviceOfFlag. The device has a monitor, which ends the process with kExitDevice when the
// device fails. INVALID_ARGUMENT names the flag and the remedy where there is no such device.
absl::StatusOr<Device> OpenDevice(const DeviceFlags& flags);

}  // namespace mentor::kernels
