// Where LibTorch keeps what a device computes with. Pure.
#pragma once

#include <c10/core/DeviceGuard.h>
#include <torch/types.h>

#include "learner/kernels/device.h"

namespace mentor::learner {

// Of an emulated device, the host's memory.
inline torch::Device MemoryOf(const Device& device) {
  if (device.kind != DeviceKind::kCuda) return torch::kCPU;
  return {torch::kCUDA, static_cast<c10::DeviceIndex>(device.index)};
}

// While it lives, kernels that this thread starts run on the device: they go to CUDA's current one.
class UseDevice {
 public:
  explicit UseDevice(const Device& device) : guard_(MemoryOf(device)) {}

 private:
  c10::DeviceGuard guard_;
};

}  // namespace mentor::learner
