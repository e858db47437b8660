#include "shards/learner_fingerprint.h"

#include "agents/numerics.h"
#include "tests/torch_testing.h"

namespace mentor::learner {
namespace {

const absl::Status fixed = FixNumerics();

TEST_CASE("learner fingerprint: that of the one arithmetic, also for a device with the CPU's bits",
          "[unit]") {
  REQUIRE(fixed.ok());
  CHECK(LearnerFingerprint() == kArithmetic);
  CHECK(LearnerFingerprint({.kind = DeviceKind::kEmulated, .name = "emulated"}) == kArithmetic);
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
  check(ArithmeticResults(), ArithmeticResults());
  check(KernelResults({}), KernelResults({.kind = DeviceKind::kEmulated, .name = "emulated"}));
}

}  // namespace
}  // namespace mentor::learner
