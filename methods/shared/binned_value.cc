#include "methods/shared/binned_value.h"

namespace mentor::methods {

using torch::Tensor;

namespace {

constexpr int64_t kMaxValue = kValueBins / 2;
constexpr double kHyperbolic = 1e-3, kTwoHotEpsilon = 1e-5;  // As rlax has them.

Tensor Compressed(const Tensor& x) {
  return x.sign() * ((x.abs() + 1).sqrt() - 1) + kHyperbolic * x;
}

// The inverse, without a difference of near numbers.
Tensor Expanded(const Tensor& x) {
  const Tensor inner = x.abs() + (1 + kHyperbolic);
  const Tensor z = 2 * inner / (1 + (1 + 4 * kHyperbolic * inner).sqrt());
  return x.sign() * (z.square() - 1);
}

}  // namespace

Tensor BinnedValue(const Tensor& logits) {
  return Expanded(
      logits.softmax(-1).matmul(torch::arange(-kMaxValue, kMaxValue + 1, logits.options())));
}

Tensor BinnedLoss(const Tensor& logits, const Tensor& target) {
  const Tensor bin =
      Compressed(target.detach()).clamp(-kMaxValue, kMaxValue).unsqueeze(-1) + kMaxValue;
  const Tensor low = bin.floor(), high = bin.ceil();
  const Tensor of_low = (high - bin) / (high - low + kTwoHotEpsilon);
  const Tensor log_p = logits.log_softmax(-1);
  const auto at = [&](const Tensor& which) { return log_p.gather(-1, which.to(torch::kInt64)); };
  return -(of_low * at(low) + (1 - of_low) * at(high)).squeeze(-1);
}

}  // namespace mentor::methods
