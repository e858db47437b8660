#include "kernels/device.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <iterator>
#include <optional>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/status.h"
#include "kernels/gpu_stream.h"

namespace mentor::kernels {
namespace {

// cmake/Cuda.cmake compiles for no older ones.
constexpr int kComputeMajorMin = 8;
// Shared memory of a block that cluster kernels need (compute capabilities 9.0 and 10.0).
constexpr uint64_t kClusterSharedBytes = 227 * 1024;

std::optional<int> ParseIndex(std::string_view text) {
  int index = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, index);
  if (text.empty() || error != std::errc() || rest != end || index < 0) return std::nullopt;
  return index;
}

// Returns lower case, without GPU- or MIG-.
std::optional<std::string> ParseUuid(std::string_view text) {
  if (text.starts_with("GPU-") || text.starts_with("MIG-")) text.remove_prefix(4);
  constexpr std::string_view kForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  const auto fits = [](char c, char form) {
    return form == 'x' ? absl::ascii_isxdigit(static_cast<unsigned char>(c)) : c == form;
  };
  if (!std::equal(text.begin(), text.end(), kForm.begin(), kForm.end(), fits)) return std::nullopt;
  return absl::AsciiStrToLower(std::string(text));
}

std::string Listed(const std::vector<Gpu>& gpus) {
  return absl::StrJoin(gpus, "; ", [](std::string* out, const Gpu& gpu) {
    if (!gpu.fault.empty()) {
      absl::StrAppendFormat(out, "%d: %s", gpu.index, gpu.fault);
    } else {
      absl::StrAppendFormat(out, "%d: %s, %.0f GiB, %s", gpu.index, gpu.name,
                            static_cast<double>(gpu.memory_bytes) / (1 << 30), gpu.uuid);
    }
  });
}

// Why no kernel can run on it; empty if they can.
std::string WhyUseless(const Gpu& gpu) {
  if (!gpu.fault.empty()) {
    return absl::StrCat("GPU ", gpu.index, " is not usable (", gpu.fault,
                        "; nvidia-smi says more)");
  }
  if (gpu.compute_major < kComputeMajorMin) {
    return absl::StrCat(gpu.name, " is too old: compute ", kComputeMajorMin,
                        ".0 or later is needed");
  }
  if (!gpu.has_pools)
    return absl::StrCat(gpu.name, " has no pools of memory, as some virtual GPUs have none");
  return "";
}

// Says that no GPU has the number or the UUID. `visible` is what the user has set; may be null.
std::string NoSuchGpu(const std::vector<Gpu>& gpus, const char* visible, bool is_mig) {
  if (gpus.empty() && is_mig)
    return "the NVIDIA driver shows no MIG instance of this UUID: nvidia-smi -L lists them";
  if (gpus.empty()) {
    return "the NVIDIA driver shows this process no GPU: see nvidia-smi -L and "
           "CUDA_VISIBLE_DEVICES; or learn on the CPU";
  }
  return absl::StrCat("this process has no such GPU; it has ", Listed(gpus),
                      visible == nullptr ? ""
                                         : absl::StrCat("; CUDA_VISIBLE_DEVICES=", visible,
                                                        " may hide what is sought"));
}

}  // namespace

constinit const std::string_view kKernels = "kernels for GPUs: " MENTOR_GENERATIONS;

absl::Status DeviceFullError(std::string_view what, uint64_t free_bytes, uint64_t total_bytes) {
  std::string message = absl::StrCat("the memory of the GPU is full (", std::string(what));
  if (total_bytes > 0) {
    absl::StrAppendFormat(&message, "; %.3f GB of %.3f GB are free",
                          1e-9 * static_cast<double>(free_bytes),
                          1e-9 * static_cast<double>(total_bytes));
  }
  return MakeError(Reason::kDeviceFull,
                   message +
                       "): nvidia-smi shows who uses it; give each process on it a share "
                       "(--device_memory_gb), or take another device");
}

#ifndef MENTOR_KERNELS
absl::StatusOr<std::vector<Gpu>> ListGpus() {
  return absl::FailedPreconditionError(kNoKernels);
}
absl::StatusOr<GpuMemory> MemoryOfGpu(int) {
  return ListGpus().status();
}
absl::Status ProbeGpu(int) {
  return ListGpus().status();
}
absl::StatusOr<std::shared_ptr<GpuStream>> GpuStream::OfThread(int) {
  return ListGpus().status();
}
#endif

absl::StatusOr<Device> DeviceOfFlag(
    std::string_view text, const std::function<absl::StatusOr<std::vector<Gpu>>()>& list_gpus) {
  if (text == "cpu") return Device{};
  if (text == "emulated") return Device{.kind = DeviceKind::kEmulated, .name = "emulated"};
  const std::string flag = absl::StrCat("--device ", std::string(text), ": ");
  std::optional<int> index;
  std::optional<std::string> uuid;
  if (text == "cuda") {
    index = 0;
  } else if (text.starts_with("cuda:")) {
    text.remove_prefix(5);
    index = ParseIndex(text);
    if (!index) uuid = ParseUuid(text);
  }
  if (!index && !uuid) {
    return absl::InvalidArgumentError(absl::StrCat(
        flag, "is none of cpu, emulated, cuda, cuda:N and cuda:UUID (nvidia-smi -L shows both)"));
  }
  const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
  const bool is_mig = uuid && text.starts_with("MIG-") && visible == nullptr;
  if (is_mig) setenv("CUDA_VISIBLE_DEVICES", absl::StrCat("MIG-", *uuid).c_str(), /*overwrite=*/0);
  const auto gpus = list_gpus();
  if (!gpus.ok()) return WithPrefix(flag, gpus.status());
  const auto gpu = std::ranges::find_if(
      *gpus, [&](const Gpu& one) { return uuid ? one.uuid == *uuid : one.index == *index; });
  if (gpu == gpus->end())
    return absl::FailedPreconditionError(absl::StrCat(flag, NoSuchGpu(*gpus, visible, is_mig)));
  if (const std::string why = WhyUseless(*gpu); !why.empty()) {
    std::vector<Gpu> others;
    std::ranges::copy_if(*gpus, std::back_inserter(others),
                         [](const Gpu& one) { return WhyUseless(one).empty(); });
    return absl::FailedPreconditionError(
        absl::StrCat(flag, why, "; learn on the CPU",
                     others.empty() ? "" : absl::StrCat(", or on another GPU: ", Listed(others))));
  }
  return Device{.kind = DeviceKind::kCuda,
                .index = gpu->index,
                .has_clusters = gpu->has_clusters && gpu->shared_bytes >= kClusterSharedBytes,
                .uuid = gpu->uuid,
                .name = gpu->name};
}

}  // namespace mentor::kernels
