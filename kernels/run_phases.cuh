// The device's side of phases.h and launch.h. Only .cu files include it, and instantiate
// DeviceKernelOf() for each kernel. tests/gate/ checks the limits of the result.
#pragma once

#include <cooperative_groups.h>

#include "kernels/launch.h"
#include "kernels/phases.h"

namespace mentor::kernels {

// Clusters exist from compute capability 9.0. For older devices kernels of several ranks are empty,
// and LaunchOnDevice() refuses them.
template <int ranks>
__device__ __forceinline__ void ClusterBarrier() {
#if __CUDA_ARCH__ >= 900
  if constexpr (ranks > 1) {
    cooperative_groups::this_cluster().sync();
    return;
  }
#endif
  __syncthreads();
}

// One thread of a cluster on a device.
template <class Kernel>
class DeviceThread {
 public:
  __device__ __forceinline__ DeviceThread(int tid, int rank, typename Kernel::Registers* own,
                                          typename Kernel::Shared* shared)
      : tid_(tid), rank_(rank), own_(*own), shared_(shared) {}

  template <class Phase>
  __device__ __forceinline__ void Block(Phase&& phase) const {
    Run(phase);
    __syncthreads();
  }
  template <class Phase>
  __device__ __forceinline__ void Cluster(Phase&& phase) const {
    Run(phase);
    ClusterBarrier<Kernel::kRanks>();
  }

 private:
  template <class Phase>
  __device__ __forceinline__ void Run(Phase& phase) const {
    int tid = tid_;
    // Keeps the compiler from computing the addresses of all phases before the kernel's loops and
    // spilling them.
    asm volatile("" : "+r"(tid));
    phase(PhaseThread<Kernel>{
        .tid = tid, .rank = rank_, .own = own_, .of = {.own = shared_, .emulated = nullptr}});
  }

  const int tid_, rank_;
  typename Kernel::Registers& own_;
  typename Kernel::Shared* const shared_;
};

// shared_bytes is a parameter so that tests and profilers see it in the kernel's name.
template <class Kernel, size_t shared_bytes>
__global__ void __launch_bounds__(Kernel::kThreads, 1)
    RunPhases(const __grid_constant__ Kernel kernel) {
#if __CUDA_ARCH__ < 900
  if constexpr (Kernel::kRanks > 1) return;
#endif
  constexpr unsigned kRanks = Kernel::kRanks;
  extern __shared__ __align__(16) unsigned char memory[];
  typename Kernel::Registers own;
  const DeviceThread<Kernel> run(static_cast<int>(threadIdx.x),
                                 static_cast<int>(kRanks == 1 ? 0 : blockIdx.x % kRanks), &own,
                                 reinterpret_cast<typename Kernel::Shared*>(memory));
  // Shared memory of other blocks exists only while they run.
  if constexpr (kRanks > 1) ClusterBarrier<kRanks>();
  kernel.Phases(blockIdx.x / kRanks, run);
  if constexpr (kRanks > 1) ClusterBarrier<kRanks>();
}

template <class Kernel>
DeviceKernel DeviceKernelOf() {
  static_assert(alignof(typename Kernel::Shared) <= 16);
  static_assert(sizeof(typename Kernel::Shared) <= 227 * 1024, "the most of any device");
  static_assert(1 <= Kernel::kRanks && Kernel::kRanks <= 8, "the most of every device");
  constexpr size_t shared_bytes = sizeof(typename Kernel::Shared);
  return {.function = reinterpret_cast<const void*>(&RunPhases<Kernel, shared_bytes>),
          .threads = Kernel::kThreads,
          .ranks = Kernel::kRanks,
          .shared_bytes = shared_bytes};
}

}  // namespace mentor::kernels
