#include <absl/strings/escaping.h>

#include "kernels/cuda_status.cuh"
#include "kernels/device.h"

namespace mentor::learner {

absl::StatusOr<std::vector<Gpu>> ListGpus() {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) {
    cudaGetLastError();
    return absl::FailedPreconditionError(absl::StrCat(
        "no GPU is usable (", cudaGetErrorString(error), "): nvidia-smi must show one, with a ",
        "driver for CUDA 13 (580 or later); a container needs it handed in; or learn on the CPU"));
  }
  std::vector<Gpu> gpus;
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties;
    if (const cudaError_t error = cudaGetDeviceProperties(&properties, index); error != cudaSuccess)
      return CudaStatus(error, "cudaGetDeviceProperties");
    std::string uuid = absl::BytesToHexString(
        absl::string_view(properties.uuid.bytes, sizeof properties.uuid.bytes));
    for (const int dash : {8, 13, 18, 23}) uuid.insert(dash, 1, '-');
    gpus.push_back({.index = index,
                    .uuid = uuid,
                    .name = absl::StrCat(properties.name, " (compute ", properties.major, ".",
                                         properties.minor, ")"),
                    .compute_major = properties.major,
                    .memory_bytes = properties.totalGlobalMem,
                    .has_clusters = properties.clusterLaunch != 0,
                    .shared_bytes = properties.sharedMemPerBlockOptin});
  }
  return gpus;
}

absl::StatusOr<GpuMemory> MemoryOfGpu(int index) {
  int current = 0;
  size_t free_bytes = 0, total_bytes = 0;
  cudaError_t error = cudaGetDevice(&current);
  if (error == cudaSuccess) error = cudaSetDevice(index);
  if (error == cudaSuccess) error = cudaMemGetInfo(&free_bytes, &total_bytes);
  if (error != cudaSuccess)
    return CudaStatus(error, absl::StrCat("memory of device ", index).c_str());
  if (error = cudaSetDevice(current); error != cudaSuccess)
    return CudaStatus(error, "cudaSetDevice");
  return GpuMemory{free_bytes, total_bytes};
}

absl::Status ProbeGpu(int index) {
  int current = 0;
  cudaError_t error = cudaGetDevice(&current);
  if (error == cudaSuccess) error = cudaSetDevice(index);
  if (error == cudaSuccess) error = cudaDeviceSynchronize();
  if (error == cudaSuccess) error = cudaSetDevice(current);
  return CudaStatus(error, absl::StrCat("device ", index).c_str());
}

}  // namespace mentor::learner
