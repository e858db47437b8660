// Products of small row-major matrices, with the step that follows them fused in. Written for the
// networks of one agent, whose matrices stay in the cache: no packing, no threads, sums over k from
// 0 upwards, one at a time, so that the bits depend on the operands alone. Pure; threads may share.
#pragma once

#include <algorithm>
#include <cstdint>

#include "learner/kernels/simd.h"

namespace mentor::learner {

// What happens to an element s of the product before it is stored.
enum class Then {
  kStore,     // c = s
  kBias,      // c = s + bias[n]; the sum starts from the bias
  kBiasTanh,  // c = tanh(s + bias[n])
  kTanhGrad,  // c = s (1 - c^2): c holds a tanh and becomes the gradient before it
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

namespace internal {

// A tile of c of kRows x (kVectors registers). `columns` counts those that exist: no more are
// stored.
template <typename T, Left kLeft, Then kThen, int kRows, int kVectors>
inline void Tile(int64_t k_size, const T* a, int64_t a_stride, const T* b, int64_t b_stride,
                 const T* bias, T* c, int64_t c_stride, int64_t columns) {
  using S = Simd<T>;
  using Vector = typename S::Vector;
  constexpr int64_t w = S::kWidth;
  Vector sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      sum[m][v] =
          kThen == Then::kBias || kThen == Then::kBiasTanh ? S::Load(bias + v * w) : S::Zero();
    }
  }
  for (int64_t k = 0; k < k_size; ++k) {
    Vector right[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) right[v] = S::Load(b + k * b_stride + v * w);
#pragma GCC unroll 16
    for (int m = 0; m < kRows; ++m) {
      const Vector left = S::Fill(kLeft == Left::kRows ? a[m * a_stride + k] : a[k * a_stride + m]);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sum[m][v] = S::Fma(left, right[v], sum[m][v]);
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      T* out = c + m * c_stride + v * w;
      Vector x = sum[m][v];
      if constexpr (kThen == Then::kBiasTanh) x = S::Tanh(x);
      if constexpr (kThen == Then::kTanhGrad) {
        const Vector h = S::Load(out);
        x = S::Mul(x, S::Fnma(h, h, S::Fill(1)));
      }
      if ((v + 1) * w <= columns) {
        S::Store(out, x);
      } else {
        alignas(32) T lanes[w];
        S::Store(lanes, x);
        for (int64_t n = v * w; n < columns; ++n) c[m * c_stride + n] = lanes[n - v * w];
      }
    }
  }
}

// All rows of one tile column, kRows at a time; the rest by the same code for fewer rows.
template <typename T, Left kLeft, Then kThen, int kRows, int kVectors>
inline void TileColumn(int64_t rows, int64_t k_size, const T* a, int64_t a_stride, const T* b,
                       int64_t b_stride, const T* bias, T* c, int64_t c_stride, int64_t columns) {
  const int64_t a_step = kLeft == Left::kRows ? a_stride : 1;
  int64_t m = 0;
  for (; m + kRows <= rows; m += kRows) {
    Tile<T, kLeft, kThen, kRows, kVectors>(k_size, a + m * a_step, a_stride, b, b_stride, bias,
                                           c + m * c_stride, c_stride, columns);
  }
  if constexpr (kRows > 1) {
    if (m < rows) {
      TileColumn<T, kLeft, kThen, kRows - 1, kVectors>(rows - m, k_size, a + m * a_step, a_stride,
                                                       b, b_stride, bias, c + m * c_stride,
                                                       c_stride, columns);
    }
  }
}

}  // namespace internal

// c [M, N] = a b with b [K, N]. Rows of b, of the bias and, with kTanhGrad, of c must be readable
// up to the next multiple of the register's width; only N columns of c are written.
template <Left kLeft, Then kThen, typename T>
void Multiply(int64_t rows, int64_t columns, int64_t k_size, Matrix<const T> a, Matrix<const T> b,
              const T* bias, Matrix<T> c) {
  constexpr int64_t w = Simd<T>::kWidth;
  int64_t n = 0;
  // 12 sums in flight hide the latency of the multiply-add, and with two loads and a broadcast fill
  // the 16 registers.
  for (; n + w < columns; n += 2 * w) {
    internal::TileColumn<T, kLeft, kThen, 6, 2>(rows, k_size, a.data, a.stride, b.data + n,
                                                b.stride, bias ? bias + n : nullptr, c.data + n,
                                                c.stride, columns - n);
  }
  if (n < columns) {
    internal::TileColumn<T, kLeft, kThen, 12, 1>(rows, k_size, a.data, a.stride, b.data + n,
                                                 b.stride, bias ? bias + n : nullptr, c.data + n,
                                                 c.stride, columns - n);
  }
}

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

}  // namespace mentor::learner
