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

}  // namespace mentor::learner
