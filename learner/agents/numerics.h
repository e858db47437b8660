// Fixes what decides LibTorch's last bits: kernel choice by CPU, threads, deterministic algorithms
// (docs/exactness.md#the-means).
#pragma once

#include <c10/core/Device.h>

#include <string>

#include <absl/status/status.h>

namespace mentor::learner {

// Called first in main, before any thread and any other use of LibTorch. FAILED_PRECONDITION when
// LibTorch had already chosen its kernels, or the CPU lacks the instruction set that every process
// must share.
absl::Status FixNumerics();

// For logs and fingerprints: "cpu avx2", or a GPU's name and compute capability, "NVIDIA H200
// (compute 9.0)".
std::string DeviceName(c10::Device device = c10::kCPU);

}  // namespace mentor::learner
