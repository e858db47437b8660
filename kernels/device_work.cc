#include "kernels/device_work.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <string>

#include <absl/strings/str_cat.h>

#include "common/failpoint.h"
#include "common/status.h"

namespace mentor::kernels {
namespace {

constexpr std::chrono::seconds kMemoryEvery{1};
constexpr std::align_val_t kAlignment{kArrayAlignment};

void ShowMemory(const Device& device) {
  if (device.monitor == nullptr) return;
  // A call of the driver; not after each of many small pieces.
  thread_local std::chrono::steady_clock::time_point next;
  const auto now = std::chrono::steady_clock::now();
  if (now < next) return;
  next = now + kMemoryEvery;
  if (const auto memory = MemoryOfGpu(device.index); memory.ok())
    device.monitor->SetMemory(memory->total_bytes - memory->free_bytes, memory->total_bytes);
}

// Classifies an error of work on a device, which may mean that the device has failed.
absl::Status Judge(const Device& device, bool injected, absl::Status status) {
  if (!absl::IsInternal(status) || device.kind == DeviceKind::kCpu) return status;
  absl::Status fault;
  if (injected) {
    fault = status;
  } else if (device.kind == DeviceKind::kCuda) {
    const DeviceMonitor::Waiting waiting(device.monitor.get());
    fault = ProbeGpu(device.index);
  }
  if (fault.ok() || device.monitor == nullptr) return status;
  device.monitor->Lost(absl::InternalError(
      absl::StrCat(device.name, " has failed: ", std::string(status.message()),
                   fault == status ? "" : absl::StrCat(" (", std::string(fault.message()), ")"))));
  return status;
}

}  // namespace

absl::Status TorchError(const c10::Error& error) {
  const std::string message = error.what_without_backtrace();
  return dynamic_cast<const c10::OutOfMemoryError*>(&error) == nullptr
             ? absl::InternalError(message)
             : MakeError(Reason::kDeviceFull, message);
}

absl::StatusOr<DeviceMemory> DeviceWork::AllocateBytes(int64_t bytes) {
  if (device_.kind != DeviceKind::kCpu) {
    if (const auto error = MENTOR_FAILPOINT("device.allocate"))
      return DeviceFullError(*error, /*free_bytes=*/0, /*total_bytes=*/0);
  }
  // An array without numbers is not null.
  const size_t size = std::max<size_t>(1, static_cast<size_t>(bytes));
  if (!IsGpu()) {
    return DeviceMemory(::operator new(size, kAlignment),
                        [](void* memory) { ::operator delete(memory, kAlignment); });
  }
  // CUDA's driver may wait for the GPU in any call.
  const DeviceMonitor::Waiting waiting(device_.monitor.get());
  MENTOR_ASSIGN_OR_RETURN(void* const memory, stream_->Allocate(size));
  return DeviceMemory(memory, [stream = stream_, monitor = device_.monitor](void* freed) {
    const DeviceMonitor::Waiting returning(monitor.get());
    stream->Free(freed);
  });
}

absl::Status DeviceWork::ZeroBytes(void* memory, size_t bytes) {
  if (IsGpu()) {
    const DeviceMonitor::Waiting waiting(device_.monitor.get());
    return stream_->Zero(memory, bytes);
  }
  std::memset(memory, 0, bytes);
  return absl::OkStatus();
}

absl::Status DeviceWork::CopyBytes(void* to, const void* from, size_t bytes) {
  if (IsGpu()) {
    const DeviceMonitor::Waiting waiting(device_.monitor.get());
    return stream_->Copy(to, from, bytes);
  }
  std::memcpy(to, from, bytes);
  return absl::OkStatus();
}

absl::Status DeviceWork::Send(void* to, const void* from, size_t bytes) {
  if (device_.monitor != nullptr) device_.monitor->AddTransfer(Direction::kToDevice, bytes);
  if (IsGpu()) {
    const DeviceMonitor::Waiting waiting(device_.monitor.get());
    return stream_->ToGpu(to, from, bytes);
  }
  if (bytes > 0) std::memcpy(to, from, bytes);
  return absl::OkStatus();
}

absl::Status DeviceWork::Fetch(void* to, const void* from, size_t bytes) {
  MENTOR_RETURN_IF_ERROR(Wait());
  if (device_.monitor != nullptr) device_.monitor->AddTransfer(Direction::kToHost, bytes);
  if (IsGpu()) {
    const DeviceMonitor::Waiting waiting(device_.monitor.get());
    return stream_->ToHost(to, from, bytes);
  }
  if (bytes > 0) std::memcpy(to, from, bytes);
  return absl::OkStatus();
}

absl::Status DeviceWork::Begin() {
  if (const auto error = MENTOR_FAILPOINT("device.launch")) {
    injected_ = true;
    return absl::InternalError(absl::StrCat("launch of a kernel: ", *error));
  }
  if (IsGpu()) return stream_->BeginSpan();
  begun_ = std::chrono::steady_clock::now();
  return absl::OkStatus();
}

absl::Status DeviceWork::End() {
  if (IsGpu()) return stream_->EndSpan();
  if (device_.monitor != nullptr) {
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begun_;
    device_.monitor->AddSeconds(phase_, seconds.count());
  }
  return absl::OkStatus();
}

absl::Status DeviceWork::Wait() {
  if (device_.kind == DeviceKind::kCpu) return absl::OkStatus();
  const DeviceMonitor::Waiting waiting(device_.monitor.get());
  if (const auto error = MENTOR_FAILPOINT("device.wait")) {
    injected_ = true;
    return absl::InternalError(absl::StrCat("waiting for the device: ", *error));
  }
  if (!IsGpu()) return absl::OkStatus();
  MENTOR_ASSIGN_OR_RETURN(const double seconds, stream_->Wait());
  if (device_.monitor != nullptr) device_.monitor->AddSeconds(phase_, seconds);
  ShowMemory(device_);
  return absl::OkStatus();
}

absl::Status OnDevice(const Device& device, DevicePhase phase,
                      const std::function<absl::Status(DeviceWork&)>& work) {
  absl::StatusOr<std::shared_ptr<GpuStream>> stream = nullptr;
  if (device.kind == DeviceKind::kCuda) {
    const DeviceMonitor::Waiting waiting(device.monitor.get());
    stream = GpuStream::OfThread(device.index);
  }
  if (!stream.ok()) return Judge(device, /*injected=*/false, stream.status());
  DeviceWork here(device, phase, *std::move(stream));
  absl::Status status;
  try {
    status = work(here);
    // Also when it is not wanted any more: what was started uses the caller's memory.
    if (!here.goes_on()) status.Update(here.Wait());
  } catch (const c10::Error& error) {
    status = TorchError(error);
  } catch (const std::exception& error) {
    status = absl::InternalError(error.what());
  }
  return Judge(device, here.injected(), std::move(status));
}

}  // namespace mentor::kernels
