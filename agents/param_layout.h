// Names the slices of a flat parameter tensor theta [S, P] or [P]. Immutable; threads may share.
#pragma once

#include <torch/types.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mentor::learner {

// Names and shapes in the order of the tensor.
using NamedShapes = std::vector<std::pair<std::string, std::vector<int64_t>>>;

// NAME.W1, NAME.b1, ... NAME.b3: in -> hidden -> hidden -> out.
NamedShapes ThreeLayers(const std::string& name, int64_t in, int64_t hidden, int64_t out);

struct ParamSlice {
  std::string name;            // For instance "actor.W1".
  std::vector<int64_t> shape;  // Without the agent axis.
  int64_t offset = 0;          // In elements.
  int64_t size = 0;
};

class ParamLayout {
 public:
  ParamLayout() = default;
  explicit ParamLayout(NamedShapes tensors);

  int64_t size() const { return size_; }  // P
  const std::vector<ParamSlice>& slices() const { return slices_; }
  int64_t IndexOf(std::string_view name) const;  // MENTOR_CHECKs that the name exists.

  // The named slice of flat parameters [P], as a flat view.
  torch::Tensor Part(std::string_view name, const torch::Tensor& flat) const;

  // Views of theta [S, P] as [S, shape...], or of [P] as [shape...], in order; one split, so that
  // backward is one cat.
  std::vector<torch::Tensor> Split(const torch::Tensor& theta) const;

 private:
  std::vector<ParamSlice> slices_;
  int64_t size_ = 0;
};

}  // namespace mentor::learner
