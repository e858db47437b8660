// Products of small row-major matrices, fused with the step that follows. Made for one agent's
// networks, whose matrices stay in the cache: no packing, no threads. Sums over k run from 0
// upwards, one at a time, so the bits depend only on the operands. Pure; threads may share.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/simd.h"

namespace mentor::kernels {

// The operation on an element s of the product before it is stored.
enum class Then {
  kStore,         // c = s
  kBias,          // c = s + bias[n]; the sum starts from the bias
  kBiasTanh,      // c = tanh(s + bias[n])
  kTanhGrad,      // c = s (1 - c^2): c holds a tanh and becomes the gradient before it
  kBiasTanhGrad,  // c = (s + bias[n]) (1 - c^2)
};

enum class Left {
  kRows,     // a is [M, K]
  kColumns,  // a is [K, M]: the product is a^T b
};

// [rows, columns] with this distance between rows, in elements.
template <typename T>
struct Matrix {
  T* data;
  int64_t stride;
};

// c [M, N] = a b with b [K, N]. Rows of b and of the bias must be readable up to the next multiple
// of Simd<T>'s width, and so must those of c where it is read. Writes only N columns of c. Defined
// for kStore of kColumns, and the others of kRows.
template <Left kLeft, Then kThen, typename T>
void Multiply(int64_t rows, int64_t columns, int64_t k_size, Matrix<const T> a, Matrix<const T> b,
              const T* bias, Matrix<T> c);

// out[columns, rows] = in[rows, columns]^T.
template <typename T>
void Transpose(int64_t rows, int64_t columns, Matrix<const T> in, Matrix<T> out) {
  using S = Simd<T>;
  constexpr int64_t w = S::kWidth;
  for (int64_t r0 = 0; r0 < rows; r0 += w) {
    for (int64_t c0 = 0; c0 < columns; c0 += w) {
      const T* from = in.data + r0 * in.stride + c0;
      T* to = out.data + c0 * out.stride + r0;
      if (r0 + w <= rows && c0 + w <= columns) {
        typename S::Vector tile[w];
#pragma GCC unroll 8
        for (int64_t i = 0; i < w; ++i) tile[i] = S::Load(from + i * in.stride);
        S::Transpose(tile);
#pragma GCC unroll 8
        for (int64_t i = 0; i < w; ++i) S::Store(to + i * out.stride, tile[i]);
      } else {
        for (int64_t c = 0; c < std::min(w, columns - c0); ++c) {
          for (int64_t r = 0; r < std::min(w, rows - r0); ++r)
            to[c * out.stride + r] = from[r * in.stride + c];
        }
      }
    }
  }
}

namespace internal {

template <typename T, int kVectors>
inline void SumColumns(int64_t rows, const T* a, int64_t stride, T* out, int64_t columns) {
  using S = Simd<T>;
  constexpr int64_t w = S::kWidth;
  typename S::Vector sum[kVectors];
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) sum[v] = S::Zero();
  for (int64_t m = 0; m < rows; ++m) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) sum[v] = S::Add(sum[v], S::Load(a + m * stride + v * w));
  }
  alignas(32) T lanes[kVectors * w];
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) S::Store(lanes + v * w, sum[v]);
  std::copy_n(lanes, std::min(columns, kVectors * w), out);
}

}  // namespace internal

// out[n] = sum over rows of a[m][n], from row 0 upwards. Rows of a must be readable up to the next
// multiple of the register's width.
template <typename T>
void SumRows(int64_t rows, int64_t columns, Matrix<const T> a, T* out) {
  constexpr int64_t w = Simd<T>::kWidth;
  int64_t n = 0;
  for (; n + 7 * w < columns; n += 8 * w) {
    internal::SumColumns<T, 8>(rows, a.data + n, a.stride, out + n, columns - n);
  }
  for (; n < columns; n += w)
    internal::SumColumns<T, 1>(rows, a.data + n, a.stride, out + n, columns - n);
}

}  // namespace mentor::kernels
