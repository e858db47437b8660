// CUDA errors as a status, for .cu files.
#pragma once

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <cuda_runtime_api.h>

#include "kernels/device.h"

namespace mentor::kernels {

inline absl::Status CudaStatus(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return absl::OkStatus();
  cudaGetLastError();  // Clears an error that is reported once.
  if (error == cudaErrorMemoryAllocation) {
    // Not known where the GPU has no room even for the process.
    size_t free_bytes = 0, total_bytes = 0;
    if (cudaMemGetInfo(&free_bytes, &total_bytes) != cudaSuccess) cudaGetLastError();
    return DeviceFullError(what, free_bytes, total_bytes);
  }
  return absl::InternalError(absl::StrCat(what, ": ", cudaGetErrorString(error)));
}

}  // namespace mentor::kernels
