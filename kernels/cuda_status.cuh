// CUDA errors as a status, for .cu files.
#pragma once

#include <string>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <cuda_runtime_api.h>

namespace mentor::learner {

inline absl::Status CudaStatus(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return absl::OkStatus();
  cudaGetLastError();  // Clears an error that is reported once.
  const std::string message = absl::StrCat(what, ": ", cudaGetErrorString(error));
  return error == cudaErrorMemoryAllocation ? absl::ResourceExhaustedError(message)
                                            : absl::InternalError(message);
}

}  // namespace mentor::learner
