#include "kernels/device.h"

#include <cstdlib>

#include <absl/strings/match.h>
#include <unistd.h>

#include "common/status.h"
#include "kernels/launch.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::kernels::TEST_FILE {

using testing::Contains;

const std::string kOld = "00000000-0000-4000-8000-000000000000",
                  kNew = "5ca1ab1e-0000-4000-8000-00000000beef";

absl::StatusOr<std::vector<Gpu>> TwoGpus() {
  return std::vector<Gpu>{{.index = 0,
                           .uuid = kOld,
                           .name = "Old (compute 7.5)",
                           .compute_major = 7,
                           .memory_bytes = uint64_t{16} << 30},
                          {.index = 1,
                           .uuid = kNew,
                           .name = "New (compute 9.0)",
                           .compute_major = 9,
                           .memory_bytes = uint64_t{141} << 30}};
}
absl::StatusOr<std::vector<Gpu>> NeverAsked() {
  FAIL("GPUs were looked for");
  return absl::InternalError("");
}
std::string Error(std::string_view text) {
  const auto device = DeviceOfFlag(text, TwoGpus);
  REQUIRE(!device.ok());
  return device.status().ToString();
}

TEST_CASE("device: the CPU and the emulation need no GPU", "[unit]") {
  const auto cpu = DeviceOfFlag("cpu", NeverAsked);
  REQUIRE(cpu.ok());
  CHECK(cpu->kind == DeviceKind::kCpu);
  CHECK(cpu->name == "cpu");
  const auto emulated = DeviceOfFlag("emulated", NeverAsked);
  REQUIRE(emulated.ok());
  CHECK(emulated->kind == DeviceKind::kEmulated);
}

TEST_CASE("device: kernels for clusters need their shared memory too", "[unit]") {
  const auto has_clusters = [](bool clusters, uint64_t shared_bytes) {
    const auto device = DeviceOfFlag("cuda", [&]() -> absl::StatusOr<std::vector<Gpu>> {
      return std::vector<Gpu>{{.index = 0,
                               .uuid = kNew,
                               .name = "New",
                               .compute_major = 9,
                               .has_clusters = clusters,
                               .shared_bytes = shared_bytes}};
    });
    REQUIRE(device.ok());
    return device->has_clusters;
  };
  CHECK(has_clusters(true, 227 * 1024));
  CHECK_FALSE(has_clusters(true, 99 * 1024));
  CHECK_FALSE(has_clusters(false, 227 * 1024));
}

TEST_CASE("device: a GPU by its number or its UUID, in any spelling", "[unit]") {
  for (const std::string& text : {std::string("cuda:1"), "cuda:" + kNew, "cuda:GPU-" + kNew,
                                  std::string("cuda:GPU-5CA1AB1E-0000-4000-8000-00000000BEEF")}) {
    CAPTURE(text);
    const auto device = DeviceOfFlag(text, TwoGpus);
    REQUIRE(device.ok());
    CHECK(device->kind == DeviceKind::kCuda);
    CHECK(device->index == 1);
    CHECK(device->uuid == kNew);
    CHECK(device->name == "New (compute 9.0)");
  }
}

TEST_CASE("device: cuda is the first GPU", "[unit]") {
  const auto only_new = [] {
    return absl::StatusOr<std::vector<Gpu>>(
        {{.index = 0, .uuid = kNew, .name = "New", .compute_major = 9}});
  };
  const auto device = DeviceOfFlag("cuda", only_new);
  REQUIRE(device.ok());
  CHECK(device->index == 0);
  CHECK(device->uuid == kNew);
}

TEST_CASE("device: a MIG instance is made visible to the process", "[unit]") {
  unsetenv("CUDA_VISIBLE_DEVICES");
  std::string visible;
  const auto list = [&] {
    visible = std::getenv("CUDA_VISIBLE_DEVICES");
    return TwoGpus();
  };
  const auto device = DeviceOfFlag("cuda:MIG-" + kNew, list);
  unsetenv("CUDA_VISIBLE_DEVICES");
  REQUIRE(device.ok());
  CHECK(visible == "MIG-" + kNew);
  CHECK(device->uuid == kNew);
}

TEST_CASE("device: what is no device is refused with the flag", "[unit]") {
  for (const std::string& text :
       {std::string(), std::string("gpu"), std::string("CPU"), std::string("cuda:"),
        std::string("cuda:-1"), std::string("cuda:1x"), std::string("cuda:99999999999"),
        std::string("cuda 0"), "cuda:MIG-" + kNew.substr(1), "cuda:" + kNew + "0",
        "cuda:GPU-MIG-" + kNew, "cuda:g" + kNew.substr(1)}) {
    CAPTURE(text);
    const auto device = DeviceOfFlag(text, NeverAsked);
    REQUIRE(!device.ok());
    CHECK(device.status() ==
          absl::InvalidArgumentError("--device " + text +
                                     ": is none of cpu, emulated, cuda, cuda:N and cuda:UUID "
                                     "(nvidia-smi -L shows both)"));
  }
}

TEST_CASE("device: a GPU that is not there is refused with those that are", "[unit]") {
  CHECK(Error("cuda:2") ==
        "FAILED_PRECONDITION: --device cuda:2: this process has no such GPU; it has "
        "0: Old (compute 7.5), 16 GiB, " +
            kOld + "; 1: New (compute 9.0), 141 GiB, " + kNew);
  setenv("CUDA_VISIBLE_DEVICES", "7", 1);
  const std::string hidden = Error("cuda:2");
  unsetenv("CUDA_VISIBLE_DEVICES");
  CHECK(Contains(hidden, "; CUDA_VISIBLE_DEVICES=7 may hide what is sought"));
}

TEST_CASE("device: no GPU at all is said without a list", "[unit]") {
  unsetenv("CUDA_VISIBLE_DEVICES");
  const auto none = [] { return absl::StatusOr<std::vector<Gpu>>(std::vector<Gpu>()); };
  CHECK(DeviceOfFlag("cuda", none).status() ==
        absl::FailedPreconditionError(
            "--device cuda: the NVIDIA driver shows this process no GPU: see nvidia-smi -L and "
            "CUDA_VISIBLE_DEVICES; or learn on the CPU"));
  // The variable is this program's own, so the user has nothing to correct there.
  const absl::Status mig = DeviceOfFlag("cuda:MIG-" + kNew, none).status();
  unsetenv("CUDA_VISIBLE_DEVICES");
  CHECK(mig == absl::FailedPreconditionError(
                   "--device cuda:MIG-" + kNew +
                   ": the NVIDIA driver shows no MIG instance of this UUID: nvidia-smi -L lists "
                   "them"));
  const absl::Status others = DeviceOfFlag("cuda:MIG-1" + kNew.substr(1), TwoGpus).status();
  unsetenv("CUDA_VISIBLE_DEVICES");
  CHECK(Contains(others, "this process has no such GPU"));
  CHECK_FALSE(Contains(others, "CUDA_VISIBLE_DEVICES"));
}

TEST_CASE("device: a GPU without code for it is refused, with the others", "[unit]") {
  CHECK(Error("cuda") ==
        "FAILED_PRECONDITION: --device cuda: Old (compute 7.5) is too old: compute 8.0 or later "
        "is needed; learn on the CPU, or on another GPU: 1: New (compute 9.0), 141 GiB, " +
            kNew);
}

TEST_CASE("device: a GPU that has failed or has no pools is refused, and others are not",
          "[unit]") {
  const auto list = []() -> absl::StatusOr<std::vector<Gpu>> {
    return std::vector<Gpu>{
        {.index = 0, .fault = "unspecified launch failure"},
        {.index = 1, .uuid = kOld, .name = "Grid", .compute_major = 9, .has_pools = false},
        {.index = 2, .uuid = kNew, .name = "New", .compute_major = 9}};
  };
  const std::string others = "; learn on the CPU, or on another GPU: 2: New, 0 GiB, " + kNew;
  CHECK(DeviceOfFlag("cuda", list).status() ==
        absl::FailedPreconditionError(
            "--device cuda: GPU 0 is not usable (unspecified launch failure; nvidia-smi says "
            "more)" +
            others));
  CHECK(
      DeviceOfFlag("cuda:1", list).status() ==
      absl::FailedPreconditionError(
          "--device cuda:1: Grid has no pools of memory, as some virtual GPUs have none" + others));
  CHECK(DeviceOfFlag("cuda:2", list).ok());
  CHECK(Contains(DeviceOfFlag("cuda:3", list).status(), "it has 0: unspecified launch failure; 1"));
}

TEST_CASE("device: a full GPU is said in one sentence, with the numbers that are known", "[unit]") {
  const absl::Status full = DeviceFullError("a stream", 1'000'000, 80'000'000'000);
  CHECK(full.message() ==
        "the memory of the GPU is full (a stream; 0.001 GB of 80.000 GB are free): nvidia-smi "
        "shows who uses it; give each process on it a share (--device_memory_gb), or take another "
        "device");
  CHECK(absl::IsResourceExhausted(full));
  CHECK(ReasonOf(full) == "DEVICE_FULL");
  CHECK(Contains(DeviceFullError("a stream", 0, 0), "is full (a stream): nvidia-smi"));
}

TEST_CASE("device: what keeps GPUs from being listed is said with the flag", "[unit]") {
  const auto device = DeviceOfFlag(
      "cuda:0", [] { return absl::StatusOr<std::vector<Gpu>>(absl::AbortedError("why")); });
  CHECK(device.status() == absl::AbortedError("--device cuda:0: why"));
}

#ifdef MENTOR_KERNELS
TEST_CASE("device: a machine without a GPU is told what a GPU needs", "[unit]") {
  if (ListGpus().ok()) {
    WARN("skipped: this machine has a GPU");
    return;
  }
  const auto device = DeviceOfFlag("cuda");
  CHECK(absl::IsFailedPrecondition(device.status()));
  CHECK(absl::StartsWith(device.status().message(), "--device cuda: "));
  CHECK(Contains(device.status(), "; or learn on the CPU"));
  // Machines of continuous integration have no driver.
  if (access("/dev/nvidiactl", F_OK) != 0)
    CHECK(Contains(device.status(), "this machine shows no NVIDIA driver: install one"));
  CHECK(!MemoryOfGpu(0).ok());
}
#else
TEST_CASE("device: a program without kernels says how it gets them", "[unit]") {
  const auto device = DeviceOfFlag("cuda");
  CHECK(device.status() ==
        absl::FailedPreconditionError(
            "--device cuda: this program has no kernels for GPUs: it was built without NVIDIA's "
            "compiler; run deploy/install.sh --nvcc and build again"));
  CHECK(!MemoryOfGpu(0).ok());
  struct Kernel {};
  CHECK(absl::IsUnimplemented(Launch(Kernel{}, 1, nullptr)));
}
#endif

}  // namespace mentor::kernels::TEST_FILE
