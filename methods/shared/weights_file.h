// Published weights that a rule takes from its option `bundle`: a folder with one file, made by
// `python3 -m mentor_signal.npz` (docs/rules.md#published-weights). Thread-safe.
#pragma once

#include <torch/types.h>

#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "agents/param_layout.h"

namespace mentor::methods {

inline constexpr char kWeightsFile[] = "weights.safetensors";

// [Q] float32: the layout's tensors of a safetensors file; others are left out. INVALID_ARGUMENT
// names a tensor that is missing, has another shape (both are named) or a number that is not
// finite.
absl::StatusOr<torch::Tensor> ParseWeights(const agents::ParamLayout& layout,
                                           std::string_view bytes);
// The same of the bundle of this name (bundle_finder.h).
absl::StatusOr<torch::Tensor> ReadWeights(const agents::ParamLayout& layout,
                                          const std::string& bundle);

}  // namespace mentor::methods
