#include "shards/learner_fingerprint.h"

#include <memory>

#include <absl/strings/str_cat.h>

#include "agents/numerics.h"
#include "common/failpoint.h"
#include "common/status.h"
#include "kernels/device_monitor.h"
#include "tests/text.h"
#include "tests/torch_testing.h"

namespace mentor::shards::TEST_FILE {

const absl::Status fixed = agents::FixNumerics();

TEST_CASE("learner fingerprint: that of the one arithmetic, also for a device with the CPU's bits",
          "[unit]") {
  REQUIRE(fixed.ok());
  CHECK(LearnerFingerprint() == agents::kArithmetic);
  CHECK(LearnerFingerprint({.kind = kernels::DeviceKind::kEmulated, .name = "emulated"}) ==
        agents::kArithmetic);
}

TEST_CASE("learner fingerprint: every result that is hashed is finite, is not one number, repeats",
          "[unit]") {
  REQUIRE(fixed.ok());
  const auto check = [](const std::vector<torch::Tensor>& first,
                        const std::vector<torch::Tensor>& second) {
    REQUIRE(first.size() == second.size());
    for (size_t i = 0; i < first.size(); ++i) {
      INFO("result " << i);
      CHECK(first[i].isfinite().all().item<bool>());
      CHECK((first[i].numel() == 1 || first[i].std().item<double>() > 0));
      CHECK(first[i].equal(second[i]));
    }
  };
  check(agents::ArithmeticResults(), agents::ArithmeticResults());
  const auto on_cpu = KernelResults({}),
             emulated = KernelResults({.kind = kernels::DeviceKind::kEmulated, .name = "emulated"});
  REQUIRE(on_cpu.ok());
  REQUIRE(emulated.ok());
  check(*on_cpu, *emulated);
}

TEST_CASE("learner fingerprint: a device carries its own, a full one is refused and not lost",
          "[unit]") {
  REQUIRE(fixed.ok());
  kernels::Device device{
      .kind = kernels::DeviceKind::kEmulated,
      .name = "emulated",
      .monitor = std::make_shared<kernels::DeviceMonitor>(kernels::DeviceMonitor::Options{
          .on_lost = [](const absl::Status&) { FAIL("the device is lost"); }})};
  // One at a time: an update's array, or one of the signal network's, whose error is thrown.
  for (const char* hit : {"1", "11", "20"}) {
    INFO(hit);
    REQUIRE(failpoint::Arm(absl::StrCat("device.allocate=", hit, ":error(an array)")).ok());
    const absl::Status full = ProveDevice(&device);
    REQUIRE(failpoint::Arm("").ok());
    CHECK(ReasonOf(full) == "DEVICE_FULL");
    CHECK(testing::Contains(full, "the memory of the GPU is full (an array): nvidia-smi shows"));
  }
  CHECK(device.fingerprint.empty());
  REQUIRE(ProveDevice(&device).ok());
  CHECK(device.fingerprint == agents::kArithmetic);
  CHECK(CheckBits(device).ok());
}

TEST_CASE("learner fingerprint: a meta-learner's device makes the CPU's bits", "[unit]") {
  CHECK(CheckBits({}).ok());
  const kernels::Device other{
      .kind = kernels::DeviceKind::kEmulated, .name = "emulated", .fingerprint = "ab12"};
  CHECK(LearnerFingerprint(other) == "ab12");
  const absl::Status status = CheckBits(other);
  CHECK(ReasonOf(status) == "NUMERIC_MISMATCH");
  CHECK(testing::Contains(status, "compute other bits than the CPU (fingerprint ab12, expected "));
}

}  // namespace mentor::shards::TEST_FILE
