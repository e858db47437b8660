// A piece of work of this thread on a device: the stream that it goes to, what travels there and
// back, the time that it takes, and what becomes of errors. On the CPU there is nothing to it.
// One thread's.
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
#include "learner/kernels/device.h"
#include "learner/kernels/device_monitor.h"

struct CUstream_st;  // CUDA's cudaStream_t is a pointer to it.

namespace mentor::learner {

class DeviceWork {
 public:
  // LibTorch's operations of this thread go to the device and to stream(), which is the thread's
  // own, as long as this lives.
  DeviceWork(const Device& device, DevicePhase phase);
  DeviceWork(const DeviceWork&) = delete;
  DeviceWork& operator=(const DeviceWork&) = delete;

  const Device& device() const { return device_; }
  // Where LibTorch keeps what the device computes with; of an emulated one, the host's memory.
  torch::Device memory() const { return memory_; }
  CUstream_st* stream() const { return stream_; }

  // Contiguous, there; undefined stays so. Without a GPU it may be `x` itself.
  torch::Tensor ToDevice(const torch::Tensor& x, torch::Dtype dtype);
  // Waits for what has been started.
  absl::StatusOr<torch::Tensor> ToHost(const torch::Tensor& x);

  // Calls start() -> Status, which starts kernels on stream() or emulates them.
  template <class Start>
  absl::Status Run(const Start& start) {
    // The line of what is started may be full.
    const DeviceMonitor::Waiting waiting(device_.kind == DeviceKind::kCuda ? device_.monitor.get()
                                                                           : nullptr);
    MENTOR_RETURN_IF_ERROR(Begin());
    absl::Status status = start();
    End();
    return status;
  }
  // Until all that was started has ended.
  absl::Status Wait();

 private:
  friend absl::Status OnDevice(const Device&, DevicePhase,
                               const std::function<absl::Status(DeviceWork&)>&);
  absl::Status Begin();
  void End();
  // What an error of this work is, which may be the end of the device.
  absl::Status Judge(absl::Status status) const;

  const Device device_;
  const DevicePhase phase_;
  const torch::Device memory_;
  std::optional<c10::StreamGuard> guard_;  // Of a GPU.
  CUstream_st* stream_ = nullptr;
  // Since the last wait: of a GPU, the beginning and the end of each run.
  std::vector<std::pair<c10::Event, c10::Event>> runs_;
  std::chrono::steady_clock::time_point begun_;
  bool injected_ = false;  // The error is a test's, which no device knows.
};

// Calls work(...) and waits for what it has started. Exceptions of LibTorch become errors; one that
// stays with the device ends its use (DeviceMonitor::Lost).
absl::Status OnDevice(const Device& device, DevicePhase phase,
                      const std::function<absl::Status(DeviceWork&)>& work);

}  // namespace mentor::learner
