#include "agents/orthogonal.h"

#include <algorithm>
#include <vector>

#include "common/orthogonal.h"

namespace mentor::learner {

torch::Tensor Orthogonal(int64_t out, int64_t in, double gain, const RandomStream& stream,
                         uint32_t tensor_number) {
  const std::vector<double> matrix = OrthogonalMatrix(out, in, gain, stream, tensor_number);
  torch::Tensor weights = torch::empty({out, in}, torch::kFloat32);
  std::transform(matrix.begin(), matrix.end(), weights.mutable_data_ptr<float>(),
                 [](double x) { return static_cast<float>(x); });
  return weights;
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

}  // namespace mentor::learner
