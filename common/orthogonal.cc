#include <algorithm>
#include <cmath>

#include "common/check.h"
#include "common/rng.h"

namespace mentor {

std::vector<double> OrthogonalMatrix(int64_t out, int64_t in, double gain,
                                     const RandomStream& stream, uint32_t tensor_number) {
  MENTOR_CHECK(out > 0 && in > 0);
  const int64_t rows = std::max(out, in), columns = std::min(out, in);
  std::vector<double> normals(rows * columns);
  stream.Normals(tensor_number, normals);

  // q[j] is column j. Modified Gram-Schmidt keeps the diagonal of R positive, as the sign rule
  // demands.
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

  std::vector<double> weights(out * in);
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t i = 0; i < in; ++i) weights[o * in + i] = gain * (out >= in ? q[i][o] : q[o][i]);
  }
  return weights;
}

}  // namespace mentor
