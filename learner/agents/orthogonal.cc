#include "learner/agents/orthogonal.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/check.h"

namespace mentor::learner {

torch::Tensor Orthogonal(int64_t out, int64_t in, double gain, const RandomStream& stream,
                         uint32_t tensor_number) {
  MENTOR_CHECK(out > 0 && in > 0);
  const int64_t rows = std::max(out, in), columns = std::min(out, in);
  std::vector<double> normals(rows * columns);
  stream.Normals(tensor_number, normals);

  // q[j] is column j. Modified Gram-Schmidt keeps the diagonal of R positive, which is what the
  // sign rule asks for.
  std::vector<std::vector<double>> q(columns, std::vector<double>(rows));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) q[j][i] = normals[i * columns + j];
  }
  for (int64_t j = 0; j < columns; ++j) {
    double square = 0;
    for (double x : q[j]) square += x * x;
    const double norm = std::sqrt(square);
    MENTOR_CHECK(norm > 0);
    for (double& x : q[j]) x /= norm;
    for (int64_t k = j + 1; k < columns; ++k) {
      double dot = 0;
      for (int64_t i = 0; i < rows; ++i) dot += q[j][i] * q[k][i];
      for (int64_t i = 0; i < rows; ++i) q[k][i] -= dot * q[j][i];
    }
  }

  torch::Tensor weights = torch::empty({out, in}, torch::kFloat32);
  float* w = weights.data_ptr<float>();
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t i = 0; i < in; ++i) {
      w[o * in + i] = static_cast<float>(gain * (out >= in ? q[i][o] : q[o][i]));
    }
  }
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
