// Fixes everything that decides LibTorch's last bits: kernels by CPU, threads, deterministic
// algorithms (docs/exactness.md#the-means).
#pragma once

#include <c10/core/Device.h>

#include <string>

#include <absl/status/status.h>

namespace mentor::learner {

// Call it first in main, before any thread and any other use of LibTorch. FAILED_PRECONDITION when
// LibTorch has already chosen its kernels, or the CPU lacks the common instruction set.
absl::Status FixNumerics();

}  // namespace mentor::learner
