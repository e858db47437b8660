// Starts kernels of phases.h on a device, for callers that know nothing of CUDA. Any thread may
// call; a stream is one thread's. What a kernel itself gets wrong shows when the stream is waited
// for. Algorithms that run on devices and on their emulation alike take a launcher:
//
//   struct Launcher {
//     bool has_clusters;  // Clusters of blocks, and 227 KiB of shared memory a block.
//     // Starts all clusters of a kernel; later work of the device waits for them.
//     template <class Kernel> absl::Status Launch(const Kernel& kernel, int64_t clusters) const;
//   };
#pragma once

#include <cstddef>
#include <cstdint>

#include <absl/status/status.h>

#include "kernels/device.h"

struct CUstream_st;  // CUDA's cudaStream_t is a pointer to it; null is the default stream.

namespace mentor::kernels {

struct DeviceKernel {
  const void* function;  // For cudaLaunchKernelExC.
  int threads;           // Per block.
  int ranks;             // Blocks of a cluster.
  size_t shared_bytes;   // Per block.
};

// run_phases.cuh defines it for kernels that a .cu file instantiates:
//   template DeviceKernel DeviceKernelOf<PpoUpdate>();
template <class Kernel>
DeviceKernel DeviceKernelOf();

// UNIMPLEMENTED where the device lacks clusters or enough shared memory for the kernel.
absl::Status LaunchOnDevice(const DeviceKernel& kernel, const void* argument, int64_t clusters,
                            CUstream_st* stream);

// Starts all clusters of a kernel on the current device. The kernel is copied. What it points to
// lies in the device's memory and must stay until the kernel has ended.
template <class Kernel>
absl::Status Launch([[maybe_unused]] const Kernel& kernel, [[maybe_unused]] int64_t clusters,
                    [[maybe_unused]] CUstream_st* stream) {
#ifdef MENTOR_KERNELS
  return LaunchOnDevice(DeviceKernelOf<Kernel>(), &kernel, clusters, stream);
#else
  return absl::UnimplementedError(kNoKernels);
#endif
}

struct CudaLauncher {
  CUstream_st* stream;
  bool has_clusters;

  template <class Kernel>
  absl::Status Launch(const Kernel& kernel, int64_t clusters) const {
    return kernels::Launch(kernel, clusters, stream);
  }
};

}  // namespace mentor::kernels
