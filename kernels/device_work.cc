#include "kernels/device_work.h"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include <exception>
#include <map>
#include <string>

#include <absl/strings/str_cat.h>

#include "common/failpoint.h"

namespace mentor::learner {
namespace {

constexpr std::chrono::seconds kMemoryEvery{1};

torch::Device MemoryOf(const Device& device) {
  if (device.kind != DeviceKind::kCuda) return torch::kCPU;
  return {torch::kCUDA, static_cast<c10::DeviceIndex>(device.index)};
}

// This thread's stream. LibTorch has 32 for each device and hands them out in turn, so up to 32
// threads share none.
c10::Stream StreamOf(torch::Device memory) {
  thread_local std::map<c10::DeviceIndex, c10::Stream> streams;
  const auto found = streams.find(memory.index());
  if (found != streams.end()) return found->second;
  const c10::impl::VirtualGuardImpl gpu(memory.type());
  return streams.emplace(memory.index(), gpu.getStreamFromGlobalPool(memory)).first->second;
}

bool IsGpu(const Device& device) {
  return device.kind == DeviceKind::kCuda;
}

void ShowMemory(const Device& device) {
  if (!IsGpu(device) || device.monitor == nullptr) return;
  // A call of the driver; not after each of many small pieces.
  thread_local std::chrono::steady_clock::time_point next;
  const auto now = std::chrono::steady_clock::now();
  if (now < next) return;
  next = now + kMemoryEvery;
  if (const auto memory = MemoryOfGpu(device.index); memory.ok())
    device.monitor->SetMemory(memory->total_bytes - memory->free_bytes, memory->total_bytes);
}

}  // namespace

DeviceWork::DeviceWork(const Device& device, DevicePhase phase)
    : device_(device), phase_(phase), memory_(MemoryOf(device)) {
  if (!IsGpu(device_)) return;
  const c10::Stream stream = StreamOf(memory_);
  guard_.emplace(stream);
  const c10::impl::VirtualGuardImpl gpu(memory_.type());
  stream_ = static_cast<CUstream_st*>(gpu.getStreamNativeHandle(stream));
}

torch::Tensor DeviceWork::ToDevice(const torch::Tensor& x, torch::Dtype dtype) {
  if (!x.defined()) return x;
  torch::Tensor here = x.detach().to(dtype).contiguous();
  if (device_.monitor != nullptr && device_.kind != DeviceKind::kCpu)
    device_.monitor->AddTransfer(Direction::kToDevice, here.nbytes());
  if (!IsGpu(device_)) return here;
  const DeviceMonitor::Waiting waiting(device_.monitor.get());
  // From pinned memory nothing waits for the copy; LibTorch keeps that until it is done.
  return here.pin_memory().to(memory_, /*non_blocking=*/true);
}

absl::StatusOr<torch::Tensor> DeviceWork::ToHost(const torch::Tensor& x) {
  if (!x.defined()) return x;
  if (device_.kind == DeviceKind::kCpu) return x;
  MENTOR_RETURN_IF_ERROR(Wait());
  if (device_.monitor != nullptr) device_.monitor->AddTransfer(Direction::kToHost, x.nbytes());
  const DeviceMonitor::Waiting waiting(device_.monitor.get());
  return x.cpu();
}

absl::Status DeviceWork::Begin() {
  if (const auto error = MENTOR_FAILPOINT("device.launch")) {
    injected_ = true;
    return absl::InternalError(absl::StrCat("launch of a kernel: ", *error));
  }
  if (IsGpu(device_)) {
    runs_.emplace_back(c10::Event(memory_.type(), c10::EventFlag::BACKEND_DEFAULT),
                       c10::Event(memory_.type(), c10::EventFlag::BACKEND_DEFAULT));
    runs_.back().first.record(guard_->current_stream());
  } else {
    begun_ = std::chrono::steady_clock::now();
  }
  return absl::OkStatus();
}

void DeviceWork::End() {
  if (IsGpu(device_)) {
    runs_.back().second.record(guard_->current_stream());
  } else if (device_.monitor != nullptr) {
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begun_;
    device_.monitor->AddSeconds(phase_, seconds.count());
  }
}

absl::Status DeviceWork::Wait() {
  if (device_.kind == DeviceKind::kCpu) return absl::OkStatus();
  const DeviceMonitor::Waiting waiting(device_.monitor.get());
  if (const auto error = MENTOR_FAILPOINT("device.wait")) {
    injected_ = true;
    return absl::InternalError(absl::StrCat("waiting for the device: ", *error));
  }
  if (!IsGpu(device_)) return absl::OkStatus();
  guard_->current_stream().synchronize();
  for (const auto& [begin, end] : runs_) {
    // Milliseconds.
    if (device_.monitor != nullptr)
      device_.monitor->AddSeconds(phase_, 1e-3 * begin.elapsedTime(end));
  }
  runs_.clear();
  ShowMemory(device_);
  return absl::OkStatus();
}

absl::Status DeviceWork::Judge(absl::Status status) const {
  if (!absl::IsInternal(status) || device_.kind == DeviceKind::kCpu) return status;
  absl::Status fault;
  if (injected_) {
    fault = status;
  } else if (IsGpu(device_)) {
    const DeviceMonitor::Waiting waiting(device_.monitor.get());
    fault = ProbeGpu(device_.index);
  }
  if (fault.ok() || device_.monitor == nullptr) return status;
  device_.monitor->Lost(absl::InternalError(
      absl::StrCat(device_.name, " has failed: ", std::string(status.message()),
                   fault == status ? "" : absl::StrCat(" (", std::string(fault.message()), ")"))));
  return status;
}

absl::Status OnDevice(const Device& device, DevicePhase phase,
                      const std::function<absl::Status(DeviceWork&)>& work) {
  std::optional<DeviceWork> here;
  absl::Status status;
  try {
    here.emplace(device, phase);
    status = work(*here);
    // Also when it is not wanted any more: what was started uses the caller's memory.
    const absl::Status ended = here->Wait();
    if (status.ok()) status = ended;
  } catch (const c10::OutOfMemoryError& error) {
    return absl::ResourceExhaustedError(error.what_without_backtrace());
  } catch (const c10::Error& error) {
    status = absl::InternalError(error.what_without_backtrace());
  } catch (const std::exception& error) {
    status = absl::InternalError(error.what());
  }
  return here ? here->Judge(std::move(status)) : status;
}

}  // namespace mentor::learner
