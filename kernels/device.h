// The device that computes, as flag --device names it, and the GPUs of this machine. Without CUDA's
// and LibTorch's headers. Functions; threads may call them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

namespace mentor::kernels {

class DeviceMonitor;

enum class DeviceKind {
  kCpu,
  kEmulated,  // GPU kernels (phases.h) on the CPU: slow, for tests.
  kCuda,
};

struct Device {
  DeviceKind kind = DeviceKind::kCpu;
  int index = 0;              // A GPU's, as CUDA counts in this process.
  bool has_clusters = false;  // A GPU's: blocks see each other's shared memory.
  std::string uuid = "";      // A GPU's.
  std::string name = "cpu";   // For people: "cpu", "emulated" or a GPU's.
  // Null: no limit, no counts, no watch.
  std::shared_ptr<DeviceMonitor> monitor = nullptr;
  // Its arithmetic's, once it is proved (shards/learner_fingerprint.h); empty before.
  std::string fingerprint = "";
};

struct Gpu {
  int index = 0;
  // 5ca1ab1e-0000-4000-8000-00000000beef, without the GPU- or MIG- before it.
  std::string uuid = "";
  std::string name = "";  // With the compute capability: "NVIDIA H200 (compute 9.0)".
  int compute_major = 0;
  uint64_t memory_bytes = 0;
  // Properties that decide which kernels it can run.
  bool has_clusters = false;
  uint64_t shared_bytes = 0;  // Limit for one block.
  bool has_pools = true;      // It has pools of memory, from which work takes its own.
  std::string fault = "";     // Why it cannot be used, and nothing else is known of it.
};

// Why a program without kernels refuses a GPU, and the remedy.
inline constexpr char kNoKernels[] =
    "this program has no kernels for GPUs: it was built without NVIDIA's compiler; run "
    "deploy/install.sh --nvcc and build again";

// What --version says of this program: the GPUs that its kernels are compiled for, or none.
extern const std::string_view kKernels;

struct GpuMemory {
  uint64_t free_bytes = 0, total_bytes = 0;
};

// The GPUs that this process may use, which may be none. FAILED_PRECONDITION with the remedy in a
// program without kernels, or where no driver answers.
absl::StatusOr<std::vector<Gpu>> ListGpus();

// RESOURCE_EXHAUSTED DEVICE_FULL: `what` found no room in the memory of a GPU. Without numbers
// where total_bytes is 0.
absl::Status DeviceFullError(std::string_view what, uint64_t free_bytes, uint64_t total_bytes);

// Begins to use the GPU, which takes some memory of its own and becomes this thread's current one.
absl::StatusOr<GpuMemory> MemoryOfGpu(int index);

// Waits until nothing runs on the GPU, this thread's current one from now on. An error means that
// the process has lost the GPU.
absl::Status ProbeGpu(int index);

// The device of a flag: cpu, emulated, cuda (the first GPU), cuda:N or cuda:UUID. The UUID may
// begin with GPU- or MIG-, as nvidia-smi -L shows it. INVALID_ARGUMENT or FAILED_PRECONDITION
// begins with the flag. Call it in main before other threads and any other use of CUDA. CUDA shows
// a process one MIG instance; this function sets CUDA_VISIBLE_DEVICES to it.
absl::StatusOr<Device> DeviceOfFlag(
    std::string_view text,
    const std::function<absl::StatusOr<std::vector<Gpu>>()>& list_gpus = ListGpus);

}  // namespace mentor::kernels
