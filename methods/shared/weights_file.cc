#include "methods/shared/weights_file.h"

#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/bundle_finder.h"
#include "common/check.h"
#include "common/file.h"
#include "common/safetensors.h"

namespace mentor::methods {
namespace {

constexpr uint64_t kFileBytesMax = 256 << 20;

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

}  // namespace

absl::StatusOr<torch::Tensor> ParseWeights(const agents::ParamLayout& layout,
                                           std::string_view bytes) {
  MENTOR_ASSIGN_OR_RETURN(const SafeTensors file, ReadSafeTensors(bytes));
  std::map<std::string, const SafeTensor*> by_name;
  for (const SafeTensor& tensor : file.tensors) by_name[tensor.name] = &tensor;
  torch::Tensor weights = torch::empty({layout.size()}, torch::kFloat32);
  for (const agents::ParamSlice& slice : layout.slices()) {
    const auto found = by_name.find(slice.name);
    if (found == by_name.end()) {
      return absl::InvalidArgumentError(absl::StrCat("has no tensor '", slice.name,
                                                     "'; the network has one of shape ",
                                                     ShapeText(slice.shape)));
    }
    const SafeTensor& tensor = *found->second;
    if (tensor.dtype != "F32" || tensor.shape != slice.shape) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor '", slice.name, "' is ", tensor.dtype, " of shape ", ShapeText(tensor.shape),
          ", and the network's is F32 of shape ", ShapeText(slice.shape),
          "; give the weights of this network, or the options that say its sizes"));
    }
    std::memcpy(weights.mutable_data_ptr<float>() + slice.offset, tensor.data.data(),
                tensor.data.size());
    if (!layout.Part(slice.name, weights).isfinite().all().item<bool>()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor '", slice.name, "' has a number that is not finite"));
    }
  }
  return weights;
}

absl::StatusOr<torch::Tensor> ReadWeights(const agents::ParamLayout& layout,
                                          const std::string& bundle) {
  MENTOR_ASSIGN_OR_RETURN(const auto held, FindBundle(bundle));
  const auto bytes = ReadFile(held->folder() / kWeightsFile, kFileBytesMax);
  if (!bytes.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("has no file ", kWeightsFile, " that can be read (", bytes.status().message(),
                     "); python3 -m mentor_signal.npz writes one from published weights"));
  }
  const auto weights = ParseWeights(layout, *bytes);
  if (!weights.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(kWeightsFile, ": ", weights.status().message()));
  }
  return weights;
}

}  // namespace mentor::methods
