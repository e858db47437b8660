// A piece of this thread's work on a device: its stream, its memory, its transfers, its time, and
// its errors. On the CPU it does next to nothing. Used by one thread.
//
//   const absl::Status status = OnDevice(device, DevicePhase::kPpo, [&](DeviceWork& work) {
//     MENTOR_ASSIGN_OR_RETURN(const DeviceArray<float> x, work.ToDevice<float>(y));
//     MENTOR_RETURN_IF_ERROR(work.Run([&] { return Launch(kernel, clusters, work.stream()); }));
//     MENTOR_ASSIGN_OR_RETURN(z, work.ToHost(x, y.sizes()));
//     return absl::OkStatus();
//   });
#pragma once

#include <torch/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/check.h"
#include "kernels/device.h"
#include "kernels/device_monitor.h"
#include "kernels/gpu_stream.h"

namespace mentor::kernels {

// Bytes that an array may take beside its numbers, since it begins at a multiple of them.
inline constexpr int64_t kArrayAlignment = 256;

// Owns bytes of a device's memory.
using DeviceMemory = std::unique_ptr<void, std::function<void(void*)>>;

// Numbers in the memory of a GPU, or of the host where a device is emulated. Null by default.
template <typename T>
class DeviceArray {
 public:
  DeviceArray() = default;
  T* data() const { return static_cast<T*>(memory_.get()); }
  int64_t size() const { return size_; }

 private:
  friend class DeviceWork;
  DeviceArray(DeviceMemory memory, int64_t size) : memory_(std::move(memory)), size_(size) {}

  DeviceMemory memory_{nullptr, [](void*) {}};
  int64_t size_ = 0;
};

class DeviceWork {
 public:
  // `stream` is this thread's; null unless the device is a GPU.
  DeviceWork(const Device& device, DevicePhase phase, std::shared_ptr<GpuStream> stream)
      : device_(device), phase_(phase), stream_(std::move(stream)) {}
  DeviceWork(const DeviceWork&) = delete;
  DeviceWork& operator=(const DeviceWork&) = delete;

  const Device& device() const { return device_; }
  CUstream_st* stream() const { return stream_ == nullptr ? nullptr : stream_->native(); }

  // Memory with any content; RESOURCE_EXHAUSTED when the device is full.
  template <typename T>
  absl::StatusOr<DeviceArray<T>> Allocate(int64_t count) {
    MENTOR_ASSIGN_OR_RETURN(DeviceMemory memory, AllocateBytes(count * int64_t{sizeof(T)}));
    return DeviceArray<T>(std::move(memory), count);
  }
  template <typename T>
  absl::Status Zero(const DeviceArray<T>& array) {
    return ZeroBytes(array.data(), Bytes(array));
  }
  template <typename T>
  absl::StatusOr<DeviceArray<T>> Copy(const T* from, int64_t count) {
    MENTOR_ASSIGN_OR_RETURN(DeviceArray<T> copy, Allocate<T>(count));
    MENTOR_RETURN_IF_ERROR(CopyBytes(copy.data(), from, Bytes(copy)));
    return copy;
  }

  template <typename T>
  absl::StatusOr<DeviceArray<T>> ToDevice(std::span<const T> numbers) {
    MENTOR_ASSIGN_OR_RETURN(DeviceArray<T> array, Allocate<T>(std::ssize(numbers)));
    MENTOR_RETURN_IF_ERROR(Send(array.data(), numbers.data(), numbers.size_bytes()));
    return array;
  }
  // The numbers of a tensor of the host, as T; undefined becomes null.
  template <typename T>
  absl::StatusOr<DeviceArray<T>> ToDevice(const torch::Tensor& x) {
    if (!x.defined()) return DeviceArray<T>();
    const torch::Tensor here = x.detach().to(c10::CppTypeToScalarType<T>::value).contiguous();
    return ToDevice(std::span<const T>(here.const_data_ptr<T>(), here.numel()));
  }

  // Waits for all started work.
  template <typename T>
  absl::Status ToHost(const DeviceArray<T>& array, std::span<T> numbers) {
    return Fetch(numbers.data(), array.data(), numbers.size_bytes());
  }
  // Null becomes undefined.
  template <typename T>
  absl::StatusOr<torch::Tensor> ToHost(const DeviceArray<T>& array, torch::IntArrayRef sizes) {
    if (array.data() == nullptr) return torch::Tensor();
    torch::Tensor x = torch::empty(sizes, c10::CppTypeToScalarType<T>::value);
    MENTOR_CHECK(x.numel() == array.size());
    MENTOR_RETURN_IF_ERROR(Fetch(x.mutable_data_ptr(), array.data(), x.nbytes()));
    return x;
  }

  // Calls start() -> Status, which starts kernels on stream() or emulates them.
  template <class Start>
  absl::Status Run(const Start& start) {
    // The queue of started work may be full.
    const DeviceMonitor::Waiting waiting(IsGpu() ? device_.monitor.get() : nullptr);
    MENTOR_RETURN_IF_ERROR(Begin());
    absl::Status status = start();
    status.Update(End());
    return status;
  }
  // Waits until all started work has ended.
  absl::Status Wait();
  // OnDevice() returns while the started work goes on: it uses no memory that its caller changes.
  void GoOn() { goes_on_ = true; }
  bool goes_on() const { return goes_on_; }
  // A test injected an error of the device.
  bool injected() const { return injected_; }

 private:
  template <typename T>
  static size_t Bytes(const DeviceArray<T>& array) {
    return static_cast<size_t>(array.size()) * sizeof(T);
  }
  bool IsGpu() const { return stream_ != nullptr; }
  absl::StatusOr<DeviceMemory> AllocateBytes(int64_t bytes);
  absl::Status ZeroBytes(void* memory, size_t bytes);
  absl::Status CopyBytes(void* to, const void* from, size_t bytes);
  absl::Status Send(void* to, const void* from, size_t bytes);
  absl::Status Fetch(void* to, const void* from, size_t bytes);
  absl::Status Begin();
  absl::Status End();

  const Device device_;
  const DevicePhase phase_;
  const std::shared_ptr<GpuStream> stream_;
  std::chrono::steady_clock::time_point begun_;
  bool injected_ = false, goes_on_ = false;
};

// What LibTorch threw: INTERNAL, or RESOURCE_EXHAUSTED DEVICE_FULL for a c10::OutOfMemoryError.
absl::Status TorchError(const c10::Error& error);

// Calls work(...) and waits for what it started, unless it goes on. Exceptions of LibTorch become
// errors. An error that stays with the device ends its use (DeviceMonitor::Lost).
absl::Status OnDevice(const Device& device, DevicePhase phase,
                      const std::function<absl::Status(DeviceWork&)>& work);

}  // namespace mentor::kernels
