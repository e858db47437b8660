// Values as distributions over bins of a compressed scale (methods/disco/README.md#values). Pure
// functions, generic in dtype; threads may share.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace mentor::methods {

// The integers from -300 to 300.
inline constexpr int64_t kValueBins = 601;

// Logits [..., kValueBins] -> the expected value [...] in the scale of rewards.
torch::Tensor BinnedValue(const torch::Tensor& logits);
// Cross-entropy [...] of logits [..., kValueBins] with the two bins around the target [...], which
// is a constant.
torch::Tensor BinnedLoss(const torch::Tensor& logits, const torch::Tensor& target);

}  // namespace mentor::methods
