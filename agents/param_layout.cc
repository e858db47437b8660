#include "agents/param_layout.h"

#include <algorithm>

#include "common/check.h"
#include "common/rng.h"

namespace mentor::agents {

NamedShapes ThreeLayers(const std::string& name, int64_t in, int64_t hidden, int64_t out) {
  return {{name + ".W1", {hidden, in}},     {name + ".b1", {hidden}},
          {name + ".W2", {hidden, hidden}}, {name + ".b2", {hidden}},
          {name + ".W3", {out, hidden}},    {name + ".b3", {out}}};
}

ParamLayout::ParamLayout(NamedShapes tensors) {
  for (auto& [name, shape] : tensors) {
    int64_t size = 1;
    for (int64_t axis : shape) size *= axis;
    slices_.push_back({std::move(name), std::move(shape), size_, size});
    size_ += size;
  }
}

int64_t ParamLayout::IndexOf(std::string_view name) const {
  for (size_t i = 0; i < slices_.size(); ++i) {
    if (slices_[i].name == name) return static_cast<int64_t>(i);
  }
  MENTOR_CHECK(!"no parameter of this name");
  return -1;
}

torch::Tensor ParamLayout::Part(std::string_view name, const torch::Tensor& flat) const {
  const ParamSlice& slice = slices_[IndexOf(name)];
  return flat.narrow(0, slice.offset, slice.size);
}

std::vector<torch::Tensor> ParamLayout::Split(const torch::Tensor& theta) const {
  MENTOR_CHECK(theta.size(-1) == size_);
  std::vector<int64_t> sizes;
  for (const ParamSlice& slice : slices_) sizes.push_back(slice.size);
  std::vector<torch::Tensor> parts = theta.split_with_sizes(sizes, /*dim=*/-1);
  const std::vector<int64_t> batch(theta.sizes().begin(), theta.sizes().end() - 1);
  for (size_t i = 0; i < parts.size(); ++i) {
    std::vector<int64_t> shape = batch;
    shape.insert(shape.end(), slices_[i].shape.begin(), slices_[i].shape.end());
    parts[i] = parts[i].reshape(shape);
  }
  return parts;
}

torch::Tensor Orthogonal(int64_t out, int64_t in, double gain, const RandomStream& stream,
                         uint32_t tensor_number) {
  const std::vector<double> matrix = OrthogonalMatrix(out, in, gain, stream, tensor_number);
  torch::Tensor weights = torch::empty({out, in}, torch::kFloat32);
  std::transform(matrix.begin(), matrix.end(), weights.mutable_data_ptr<float>(),
                 [](double x) { return static_cast<float>(x); });
  return weights;
}

torch::Tensor Normals(const RandomStream& stream, uint32_t number, at::IntArrayRef shape) {
  torch::Tensor normals = torch::empty(shape, torch::kFloat64);
  stream.Normals(number,
                 {normals.mutable_data_ptr<double>(), static_cast<size_t>(normals.numel())});
  return normals;
}

void FillMatrices(const ParamLayout& layout, const RandomStream& stream,
                  const std::function<double(const std::string& name)>& gain, torch::Tensor flat) {
  for (size_t i = 0; i < layout.slices().size(); ++i) {
    const ParamSlice& slice = layout.slices()[i];
    if (slice.shape.size() != 2) continue;
    flat.narrow(0, slice.offset, slice.size)
        .copy_(Orthogonal(slice.shape[0], slice.shape[1], gain(slice.name), stream,
                          static_cast<uint32_t>(i))
                   .flatten());
  }
}

}  // namespace mentor::agents
