// Names the slices of a flat parameter tensor theta [S, P] or [P], and fills them with orthogonal
// initial weights from keyed normals (methods/ppo/README.md#initial-weights): the same bits on
// every machine. Immutable; threads may share.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/rng.h"

namespace mentor::agents {

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

// [out, in] float32 with W W^T = gain^2 I (out <= in) or W^T W = gain^2 I. From the normals
// stream.Normals(tensor_number, ...), a row-major matrix of max(out, in) x min(out, in).
torch::Tensor Orthogonal(int64_t out, int64_t in, double gain, const RandomStream& stream,
                         uint32_t tensor_number);
// Independent standard normals of this shape, in double: stream.Normals(number, ...).
torch::Tensor Normals(const RandomStream& stream, uint32_t number, at::IntArrayRef shape);

// Fills every matrix of the layout with an orthogonal one, with the gain of its name. The tensor's
// number is its place in the layout. `flat` is [P] float32; other slices stay as they are.
void FillMatrices(const ParamLayout& layout, const RandomStream& stream,
                  const std::function<double(const std::string& name)>& gain, torch::Tensor flat);

}  // namespace mentor::agents
