#include <limits>
#include <set>
#include <utility>

#include "common/check.h"
#include "kernels/cuda_status.cuh"
#include "kernels/launch.h"

namespace mentor::kernels {
namespace {

// Sees that this thread's device can run the kernel, and tells it of the shared memory. The driver
// is asked once a thread, since its answers take as long as a launch.
absl::Status Prepare(const DeviceKernel& kernel) {
  thread_local std::set<std::pair<int, const void*>> prepared;
  int device = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess && prepared.contains({device, kernel.function})) return absl::OkStatus();
  int has_clusters = 0, shared_bytes_max = 0;
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&has_clusters, cudaDevAttrClusterLaunch, device);
  if (error == cudaSuccess) {
    error =
        cudaDeviceGetAttribute(&shared_bytes_max, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  }
  if (error != cudaSuccess) return CudaStatus(error, "no device to run a kernel on");
  if (kernel.ranks > 1 && has_clusters == 0) {
    return absl::UnimplementedError(
        absl::StrCat("the kernel runs in clusters of ", kernel.ranks, " blocks, and device ",
                     device, " has none: compute capability 9.0 and later have"));
  }
  if (kernel.shared_bytes > static_cast<size_t>(shared_bytes_max)) {
    return absl::UnimplementedError(absl::StrCat("the kernel needs ", kernel.shared_bytes,
                                                 " bytes of shared memory a block, and device ",
                                                 device, " has ", shared_bytes_max));
  }
  error = cudaFuncSetAttribute(kernel.function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(kernel.shared_bytes));
  if (error != cudaSuccess) return CudaStatus(error, "shared memory of a kernel");
  prepared.emplace(device, kernel.function);
  return absl::OkStatus();
}

}  // namespace

absl::Status LaunchOnDevice(const DeviceKernel& kernel, const void* argument, int64_t clusters,
                            CUstream_st* stream) {
  if (clusters == 0) return absl::OkStatus();
  if (clusters < 0 || clusters > std::numeric_limits<int>::max() / kernel.ranks) {
    return absl::InvalidArgumentError(absl::StrCat("a kernel was to run ", clusters,
                                                   " clusters of ", kernel.ranks,
                                                   " blocks; CUDA runs 0 to 2^31 - 1 blocks"));
  }
  MENTOR_RETURN_IF_ERROR(Prepare(kernel));
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim = {static_cast<unsigned>(kernel.ranks), 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(clusters * kernel.ranks));
  config.blockDim = dim3(static_cast<unsigned>(kernel.threads));
  config.dynamicSmemBytes = kernel.shared_bytes;
  config.stream = stream;
  config.attrs = &cluster;
  config.numAttrs = kernel.ranks > 1 ? 1 : 0;
  void* arguments[] = {const_cast<void*>(argument)};
  return CudaStatus(cudaLaunchKernelExC(&config, kernel.function, arguments), "launch of a kernel");
}

}  // namespace mentor::kernels
