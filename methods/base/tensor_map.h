// Named tensors: the state of rules and inner loops in checkpoints and snapshots. Pure functions.
#pragma once

#include <torch/types.h>

#include <map>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

namespace mentor::learner {

using TensorMap = std::map<std::string, torch::Tensor>;

// Returns a clone of the tensor of this name. DATA_LOSS when it is missing or not finite;
// INVALID_ARGUMENT when its shape or dtype differ. `whose` ("the rule") names the owner in errors.
absl::StatusOr<torch::Tensor> ReadTensor(const TensorMap& state, const std::string& name,
                                         at::IntArrayRef shape, torch::Dtype dtype,
                                         std::string_view whose);

}  // namespace mentor::learner
