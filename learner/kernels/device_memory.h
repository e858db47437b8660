// Where LibTorch keeps what a device computes with. Pure.
#pragma once

#include <torch/types.h>

#include "learner/kernels/device.h"

namespace mentor::learner {

// Of an emulated device, the host's memory.
inline torch::Device MemoryOf(const Device& device) {
  if (device.kind != DeviceKind::kCuda) return torch::kCPU;
  return {torch::kCUDA, static_cast<c10::DeviceIndex>(device.index)};
}

}  // namespace mentor::learner
