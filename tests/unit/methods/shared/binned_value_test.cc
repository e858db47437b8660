#include "methods/shared/binned_value.h"

#include <cmath>

#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using torch::Tensor;

// Logits of a distribution on one bin.
Tensor On(int64_t bin) {
  Tensor logits = torch::full({kValueBins}, -1e6, torch::kFloat64);
  logits[bin + 300] = 0;
  return logits;
}

TEST_CASE("binned value: the inverse of sign(x) (sqrt(|x| + 1) - 1) + x / 1000", "[unit]") {
  for (const double x : {0.0, 1.0, -1.0, 8.0, -99.0, 5000.0}) {
    const double sign = x < 0 ? -1 : 1;
    const double bin = sign * (std::sqrt(std::abs(x) + 1) - 1) + 1e-3 * x;
    // Between two bins the expectation is not the inverse; so mix the two around.
    const auto low = static_cast<int64_t>(std::floor(bin));
    const double of_low = 1 - (bin - static_cast<double>(low));
    Tensor logits = torch::full({kValueBins}, -1e6, torch::kFloat64);
    logits[low + 300] = std::log(of_low);
    if (of_low < 1) logits[low + 301] = std::log(1 - of_low);
    CHECK(BinnedValue(logits).item<double>() == Approx(x).margin(1e-9));
  }
}

TEST_CASE("binned value: the loss is least at its target, and has no gradient by it", "[unit]") {
  // 3.003 is 1 + 0.003003 of the compressed scale.
  const Tensor target = torch::full({}, 3.0, torch::kFloat64);
  const double one = BinnedLoss(On(1), target).item<double>();
  CHECK(one < BinnedLoss(On(0), target).item<double>());
  CHECK(one < BinnedLoss(On(2), target).item<double>());
  CHECK(BinnedLoss(On(300), torch::full({}, 1e9, torch::kFloat64)).item<double>() ==
        Approx(0).margin(1e-9));
  const Tensor moving = target.clone().requires_grad_(true);
  const c10::AutoGradMode gradients(true);
  CHECK_FALSE(BinnedLoss(On(1), moving).requires_grad());
}

}  // namespace mentor::methods::TEST_FILE
