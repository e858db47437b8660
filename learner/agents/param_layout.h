// Names the slices of a flat parameter tensor theta [S, P] or [P]. Immutable; threads may share.
#pragma once

#include <torch/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace mentor::learner {

struct ParamSlice {
  std::string name;            // For instance "actor.W1".
  std::vector<int64_t> shape;  // Without the agent axis.
  int64_t offset = 0;          // In elements.
  int64_t size = 0;
};

class ParamLayout {
 public:
  ParamLayout() = default;
  explicit ParamLayout(std::vector<std::pair<std::string, std::vector<int64_t>>> tensors);

  int64_t size() const { return size_; }  // P
  const std::vector<ParamSlice>& slices() const { return slices_; }
  int64_t IndexOf(std::string_view name) const;  // MENTOR_CHECKs that the name exists.

  // Views of theta [S, P] as [S, shape...], or of [P] as [shape...], in order; one split, so that
  // backward is one cat.
  std::vector<torch::Tensor> Split(const torch::Tensor& theta) const;

 private:
  std::vector<ParamSlice> slices_;
  int64_t size_ = 0;
};

}  // namespace mentor::learner
