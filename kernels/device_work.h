// A piece of this thread's work on a device: its stream, its transfers, its time, and its errors.
// On the CPU it does next to nothing. Used by one thread.
//
//   const absl::Status status = OnDevice(device, DevicePhase::kPpo, [&](DeviceWork& work) {
//     const torch::Tensor x = work.ToDevice(y, torch::kFloat32);
//     MENTOR_RETURN_IF_ERROR(work.Run([&] { return Launch(kernel, clusters, work.stream()); }));
//     MENTOR_ASSIGN_OR_RETURN(z, work.ToHost(x));
//     return absl::OkStatus();
//   });
#pragma once

#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <torch/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/check.h"
#include "kernels/device.h"
#include "kernels/device_monitor.h"

struct CUstream_st;  // CUDA's cudaStream_t is a pointer to it.

namespace mentor::learner {

class DeviceWork {
 public:
  // While it lives, LibTorch's operations of this thread go to the device and to stream(), which
  // belongs to the thread.
  DeviceWork(const Device& device, DevicePhase phase);
  DeviceWork(const DeviceWork&) = delete;
  DeviceWork& operator=(const DeviceWork&) = delete;

  const Device& device() const { return device_; }
  // The device of LibTorch's tensors; for an emulated device, the host's memory.
  torch::Device memory() const { return memory_; }
  CUstream_st* stream() const { return stream_; }

  // Returns a contiguous copy there; undefined stays undefined. Without a GPU it may be `x` itself.
  torch::Tensor ToDevice(const torch::Tensor& x, torch::Dtype dtype);
  // Waits for all started work.
  absl::StatusOr<torch::Tensor> ToHost(const torch::Tensor& x);

  // Calls start() -> Status, which starts kernels on stream() or emulates them.
  template <class Start>
  absl::Status Run(const Start& start) {
    // The queue of started work may be full.
    const DeviceMonitor::Waiting waiting(device_.kind == DeviceKind::kCuda ? device_.monitor.get()
                                                                           : nullptr);
    MENTOR_RETURN_IF_ERROR(Begin());
    absl::Status status = start();
    End();
    return status;
  }
  // Waits until all started work has ended.
  absl::Status Wait();

 private:
  friend absl::Status OnDevice(const Device&, DevicePhase,
                               const std::function<absl::Status(DeviceWork&)>&);
  absl::Status Begin();
  void End();
  // Classifies an error of this work, which may mean that the device has failed.
  absl::Status Judge(absl::Status status) const;

  const Device device_;
  const DevicePhase phase_;
  const torch::Device memory_;
  std::optional<c10::StreamGuard> guard_;  // Only for a GPU.
  CUstream_st* stream_ = nullptr;
  // Beginning and end of each run on a GPU since the last wait.
  std::vector<std::pair<c10::Event, c10::Event>> runs_;
  std::chrono::steady_clock::time_point begun_;
  bool injected_ = false;  // A test injected the error.
};

// Calls work(...) and waits for what it started. Exceptions of LibTorch become errors. An error
// that stays with the device ends its use (DeviceMonitor::Lost).
absl::Status OnDevice(const Device& device, DevicePhase phase,
                      const std::function<absl::Status(DeviceWork&)>& work);

}  // namespace mentor::learner
