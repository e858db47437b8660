// Networks of two tanh layers and a plain one, in -> hidden -> tanh -> hidden -> tanh -> out, on
// rows of inputs: forwards, backwards, and derivatives along a direction of the parameters.
// Parameters are W1 b1 W2 b2 W3 b3, with matrices [out, in]. Products are those of
// matrix_kernels.h, so the bits depend only on the operands. One thread uses a network.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/matrix_kernels.h"
#include "kernels/tanh_sizes.h"

namespace mentor::kernels {

// Distance between rows of n columns that products read fast.
template <typename T>
int64_t RowStride(int64_t n);

// The inputs of these rows, one after another.
template <typename T>
void GatherRows(const T* from, int64_t columns, std::span<const int64_t> rows, Matrix<T> to) {
  for (size_t b = 0; b < rows.size(); ++b)
    std::copy_n(from + rows[b] * columns, columns, to.data + static_cast<int64_t>(b) * to.stride);
}

// What a pass forwards leaves for the pass back. Columns beyond the sizes are 0.
template <typename T>
struct TanhRows {
  TanhRows(const TanhSizes& sizes, int64_t rows);

  int64_t hidden_stride, out_stride;
  std::vector<T> h1, h2;  // [rows, hidden]: activations; after the pass back gradients before tanh
  std::vector<T> y, dy;   // [rows, out]: outputs, and their gradient, which the caller writes
};

// What a pass along a direction needs and makes.
template <typename T>
struct TanhTangents {
  TanhTangents(const TanhSizes& sizes, int64_t rows);

  int64_t stride, out_stride;
  // [rows, 2 hidden strides]: derivatives of activations, and the activations.
  std::vector<T> h1, h2;
  std::vector<T> dy;  // [rows, out]: derivatives of the outputs
  // Parameters of the direction, matrices transposed: the second and third below the network's own
  // matrix.
  std::vector<T> dw1t, w2t, w3t, db1, db2, db3;
};

template <typename T>
class TanhNetwork {
 public:
  explicit TanhNetwork(const TanhSizes& sizes);
  const TanhSizes& sizes() const { return sizes_; }

  // The following passes use these parameters, which must stay where they are until the pass back.
  void Load(const T* theta);
  void Forward(Matrix<const T> inputs, int64_t rows, TanhRows<T>* x) const;
  // Writes the gradient [num_params] of sum(dy y). A bounded output's dy is that before its tanh.
  void Backward(Matrix<const T> inputs, int64_t rows, TanhRows<T>* x, T* grad) const;

  // Keeps the activations of a pass forwards for Tangents, which comes after Backward.
  void Keep(const TanhRows<T>& x, int64_t rows, TanhTangents<T>* kept) const;
  // Writes the derivatives dy of plain outputs along `direction` [num_params].
  void Tangents(const T* direction, Matrix<const T> inputs, int64_t rows,
                TanhTangents<T>* kept) const;

 private:
  const TanhSizes sizes_;
  const int64_t hidden_stride_, out_stride_;
  // Offsets in the parameters.
  const int64_t b1_, w2_, b2_, w3_, b3_;
  // Padding stays zero, so it adds neither values nor gradients.
  std::vector<T> w1t_, w2t_, w3t_;  // Transposed: [in, hidden], [hidden, hidden], [hidden, out]
  std::vector<T> bias1_, bias2_, bias3_;
  // As in theta, padded; unused when theta's own rows are whole registers.
  std::vector<T> w2_rows_, w3_rows_;
  Matrix<const T> w2_of_, w3_of_;
};

}  // namespace mentor::kernels
