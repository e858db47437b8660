// Named tensors: the state of rules and inner loops in checkpoints and snapshots. Pure functions.
#pragma once

#include <torch/types.h>

#include <map>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

namespace mentor::learner {

using TensorMap = std::map<std::string, torch::Tensor>;

// The tensor of this name, cloned. DATA_LOSS when it is missing or not finite, INVALID_ARGUMENT
// when shape or dtype are others; `whose` ("the rule") names the owner.
absl::StatusOr<torch::Tensor> ReadTensor(const TensorMap& state, const std::string& name,
                                         at::IntArrayRef shape, torch::Dtype dtype,
                                         std::string_view whose);

}  // namespace mentor::learner
