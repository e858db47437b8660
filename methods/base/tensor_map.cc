#include "methods/base/tensor_map.h"

#include <absl/strings/str_format.h>

namespace mentor::learner {

absl::StatusOr<torch::Tensor> ReadTensor(const TensorMap& state, const std::string& name,
                                         at::IntArrayRef shape, torch::Dtype dtype,
                                         std::string_view whose) {
  const auto found = state.find(name);
  if (found == state.end())
    return absl::DataLossError(absl::StrFormat("state of %s has no '%s'", whose, name));
  const torch::Tensor& x = found->second;
  if (!x.defined() || x.sizes() != shape || x.scalar_type() != dtype) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "'%s' in the state of %s is %s %s, expected %s %s: it belongs to another spec", name, whose,
        x.defined() ? c10::toString(x.scalar_type()) : "undefined",
        x.defined() ? c10::str(x.sizes()) : "", c10::toString(dtype), c10::str(shape)));
  }
  if (x.is_floating_point() && !x.isfinite().all().item<bool>()) {
    return absl::DataLossError(
        absl::StrFormat("'%s' in the state of %s is not finite", name, whose));
  }
  return x.clone();
}

}  // namespace mentor::learner
