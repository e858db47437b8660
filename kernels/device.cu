#include <absl/strings/escaping.h>

#include "kernels/cuda_status.cuh"
#include "kernels/device.h"

namespace mentor::kernels {

namespace {

// 1000 times the major version and 10 times the minor one of CUDA that the driver is for; 0: none.
int DriverVersion() {
  int version = 0;
  cudaDriverGetVersion(&version);
  return version;
}

// Why CUDA does not count the GPUs, and the remedy.
std::string WhyNoGpu(cudaError_t error) {
  const int driver = DriverVersion();
  if (driver == 0) {
    return "this machine shows no NVIDIA driver: install one, 580 or later (a container needs the "
           "NVIDIA Container Toolkit, and --gpus); or learn on the CPU";
  }
  if (error == cudaErrorInsufficientDriver) {
    return absl::StrCat("the NVIDIA driver is too old, for CUDA ", driver / 1000, ".",
                        driver % 1000 / 10, ": CUDA ", CUDART_VERSION / 1000,
                        " needs driver 580 or later; update it, or learn on the CPU");
  }
  return absl::StrCat("no GPU is usable (", cudaGetErrorString(error),
                      "): see nvidia-smi; or learn on the CPU");
}

}  // namespace

absl::StatusOr<std::vector<Gpu>> ListGpus() {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) {
    cudaGetLastError();
    if (error == cudaErrorNoDevice && DriverVersion() > 0) return std::vector<Gpu>();
    return absl::FailedPreconditionError(WhyNoGpu(error));
  }
  std::vector<Gpu> gpus;
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties;
    if (const cudaError_t error = cudaGetDeviceProperties(&properties, index);
        error != cudaSuccess) {
      cudaGetLastError();  // One that has failed does not keep others from work.
      gpus.push_back({.index = index, .fault = cudaGetErrorString(error)});
      continue;
    }
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
                    .shared_bytes = properties.sharedMemPerBlockOptin,
                    .has_pools = properties.memoryPoolsSupported != 0});
  }
  return gpus;
}

absl::StatusOr<GpuMemory> MemoryOfGpu(int index) {
  // Not set back: that would begin to use, and need, the GPU that was current, even if no work did.
  size_t free_bytes = 0, total_bytes = 0;
  cudaError_t error = cudaSetDevice(index);
  if (error == cudaSuccess) error = cudaMemGetInfo(&free_bytes, &total_bytes);
  if (error != cudaSuccess)
    return CudaStatus(error, absl::StrCat("memory of device ", index).c_str());
  return GpuMemory{free_bytes, total_bytes};
}

absl::Status ProbeGpu(int index) {
  cudaError_t error = cudaSetDevice(index);
  if (error == cudaSuccess) error = cudaDeviceSynchronize();
  return CudaStatus(error, absl::StrCat("device ", index).c_str());
}

}  // namespace mentor::kernels
