#include "learner/torch_fingerprint.h"

#include "learner/agents/numerics.h"
#include "tests/torch_testing.h"

namespace mentor::learner {
namespace {

const absl::Status fixed = FixNumerics();

TEST_CASE("torch fingerprint: the CPU's is a hash that stays", "[unit]") {
  REQUIRE(fixed.ok());
  CHECK(TorchFingerprint().size() == 32);
  CHECK(TorchFingerprint() == TorchFingerprint(torch::kCPU));
}

TEST_CASE("torch fingerprint: every result that another device is asked for is finite and repeats",
          "[unit]") {
  REQUIRE(fixed.ok());
  const std::vector<torch::Tensor> first = FingerprintResults(torch::kCPU, /*with_update=*/true);
  const std::vector<torch::Tensor> second = FingerprintResults(torch::kCPU, /*with_update=*/true);
  // The update is the last, and what a GPU's fingerprint has beyond the CPU's.
  REQUIRE(first.size() == FingerprintResults(torch::kCPU, /*with_update=*/false).size() + 1);
  REQUIRE(first.size() == second.size());
  for (size_t i = 0; i < first.size(); ++i) {
    INFO("result " << i);
    CHECK(first[i].isfinite().all().item<bool>());
    CHECK(first[i].equal(second[i]));
  }
  CHECK(first.back().std().item<double>() > 0);
}

}  // namespace
}  // namespace mentor::learner
