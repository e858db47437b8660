// Products of row-major matrices for the phases of a block (phases.h): the bits of
// matrix_kernels.h. Every element is one chain of multiply-adds along k, from its bias or from
// zero; k is never padded, since a further fma(0, 0, -0) would be +0.
//
// The threads of a share take tiles in turn. A tile may hold rows and columns that do not exist:
// they are computed from whatever lies there. So arrays have room for a multiple of kRowsPadded
// rows and of four columns, strides are multiples of four and arrays begin at 16 bytes.
#pragma once

#include "kernels/scalar.h"

namespace mentor::kernels::tiles {

// Rows of a tile are interleaved, so that neighbouring threads hold neighbouring rows. With an odd
// number of fours as stride these lie in different banks of shared memory.
inline constexpr int kInterleave = 4;
inline constexpr int kRows = 8;  // Rows of a tile.
inline constexpr int kRowsPadded = kInterleave * kRows;

MENTOR_HD constexpr int RoundUp(int n, int multiple) {
  return (n + multiple - 1) / multiple * multiple;
}
// Distance between rows of n numbers.
MENTOR_HD constexpr int Stride(int n) {
  return 4 * (((n + 3) / 4) | 1);
}

// This thread computes tiles first, first + step, ...
struct Share {
  int first, step;
};

template <typename T>
struct Rows {
  T* data;
  int stride;
};

// Row i of a tile is kInterleave i after its first one.
template <int kTileRows>
MENTOR_HD int FirstRow(int tile) {
  return tile / kInterleave * kInterleave * kTileRows + tile % kInterleave;
}
template <int kTileRows>
MENTOR_HD int TileCount(int rows) {
  return (rows + kInterleave * kTileRows - 1) / (kInterleave * kTileRows) * kInterleave;
}

// c [M, N] = a b^T with a [M, K] and b [N, K]: store(row, column, bias[column] + the chain). Tiles
// of fewer than kRows rows are for products with few columns.
template <int kTileRows, typename T, class Store>
MENTOR_HD void TimesTransposed(Share share, int m, int n, int k_size, Rows<const T> a,
                               Rows<const T> b, const T* bias, const Store& store) {
  const int columns = (n + 3) / 4;  // Columns of tiles; the columns of one tile are that far apart.
  const int count = TileCount<kTileRows>(m) * columns;
  for (int tile = share.first; tile < count; tile += share.step) {
    const int column = tile % columns, row = FirstRow<kTileRows>(tile / columns);
    const T *left = a.data + row * a.stride, *right = b.data + column * b.stride;
    T sum[kTileRows][4];
    MENTOR_UNROLL for (int j = 0; j < 4; ++j) {
      MENTOR_UNROLL for (int i = 0; i < kTileRows; ++i) sum[i][j] = bias[column + j * columns];
    }
    const int whole = k_size / 4 * 4;
    MENTOR_UNROLL_BY(1)
    for (int k = 0; k < whole; k += 4) {
      Four<T> x[kTileRows];
      MENTOR_UNROLL for (int i = 0; i < kTileRows; ++i) x[i] =
          Load4(left + i * kInterleave * a.stride + k);
      MENTOR_UNROLL for (int j = 0; j < 4; ++j) {
        const Four<T> w = Load4(right + j * columns * b.stride + k);
        MENTOR_UNROLL for (int l = 0; l < 4; ++l) {
          MENTOR_UNROLL for (int i = 0; i < kTileRows; ++i) sum[i][j] =
              scalar::Fma(x[i].x[l], w.x[l], sum[i][j]);
        }
      }
    }
    for (int k = whole; k < k_size; ++k) {
      MENTOR_UNROLL for (int j = 0; j < 4; ++j) {
        const T w = right[j * columns * b.stride + k];
        MENTOR_UNROLL for (int i = 0; i < kTileRows; ++i) sum[i][j] =
            scalar::Fma(left[i * kInterleave * a.stride + k], w, sum[i][j]);
      }
    }
    MENTOR_UNROLL for (int i = 0; i < kTileRows; ++i) {
      MENTOR_UNROLL for (int j = 0; j < 4; ++j)
          store(row + i * kInterleave, column + j * columns, sum[i][j]);
    }
  }
}

// c [M, N] = a b with a [M, K] and b [K, N]: store(row, first of four columns, sums).
template <typename T, class Store>
MENTOR_HD void Times(Share share, int m, int n, int k_size, Rows<const T> a, Rows<const T> b,
                     const Store& store) {
  const int columns = (n + 3) / 4, count = TileCount<kRows>(m) * columns;
  for (int tile = share.first; tile < count; tile += share.step) {
    const int column = tile % columns * 4, row = FirstRow<kRows>(tile / columns);
    const T *left = a.data + row * a.stride, *right = b.data + column;
    Four<T> sum[kRows];
    MENTOR_UNROLL for (int i = 0; i < kRows; ++i) sum[i] = {};
    const int whole = k_size / 4 * 4;
    MENTOR_UNROLL_BY(1)
    for (int k = 0; k < whole; k += 4) {
      Four<T> x[kRows];
      MENTOR_UNROLL for (int i = 0; i < kRows; ++i) x[i] =
          Load4(left + i * kInterleave * a.stride + k);
      MENTOR_UNROLL for (int l = 0; l < 4; ++l) {
        const Four<T> w = Load4(right + (k + l) * b.stride);
        MENTOR_UNROLL for (int j = 0; j < 4; ++j) {
          MENTOR_UNROLL for (int i = 0; i < kRows; ++i) sum[i].x[j] =
              scalar::Fma(x[i].x[l], w.x[j], sum[i].x[j]);
        }
      }
    }
    for (int k = whole; k < k_size; ++k) {
      const Four<T> w = Load4(right + k * b.stride);
      MENTOR_UNROLL for (int i = 0; i < kRows; ++i) {
        const T x = left[i * kInterleave * a.stride + k];
        MENTOR_UNROLL for (int j = 0; j < 4; ++j) sum[i].x[j] = scalar::Fma(x, w.x[j], sum[i].x[j]);
      }
    }
    MENTOR_UNROLL for (int i = 0; i < kRows; ++i) store(row + i * kInterleave, column, sum[i]);
  }
}

// c [M, N] = a^T b with a [K, M] and b [K, N], in tiles of kTile x kTile: 4, or 1 for small
// products. c has room for N columns only.
template <int kTile, typename T>
MENTOR_HD void TransposedTimes(Share share, int m, int n, int k_size, Rows<const T> a,
                               Rows<const T> b, T* c) {
  const int columns = (n + kTile - 1) / kTile, count = (m + kTile - 1) / kTile * columns;
  for (int tile = share.first; tile < count; tile += share.step) {
    const int column = tile % columns * kTile, row = tile / columns * kTile;
    T sum[kTile][kTile];
    MENTOR_UNROLL for (int i = 0; i < kTile; ++i) {
      MENTOR_UNROLL for (int j = 0; j < kTile; ++j) sum[i][j] = 0;
    }
    MENTOR_UNROLL_BY(4)
    for (int k = 0; k < k_size; ++k) {
      const T *left = a.data + k * a.stride + row, *right = b.data + k * b.stride + column;
      Four<T> x, w;
      if constexpr (kTile == 4) {
        x = Load4(left);
        w = Load4(right);
      } else {
        x.x[0] = *left;
        w.x[0] = *right;
      }
      MENTOR_UNROLL for (int i = 0; i < kTile; ++i) {
        MENTOR_UNROLL for (int j = 0; j < kTile; ++j) sum[i][j] =
            scalar::Fma(x.x[i], w.x[j], sum[i][j]);
      }
    }
    MENTOR_UNROLL for (int i = 0; i < kTile; ++i) {
      MENTOR_UNROLL for (int j = 0; j < kTile; ++j) {
        if (row + i < m && column + j < n) c[(row + i) * n + column + j] = sum[i][j];
      }
    }
  }
}

// out[n] = sum over k of a [K, N], from +0 and row 0 upwards.
template <typename T>
MENTOR_HD void SumRows(Share share, int n, int k_size, Rows<const T> a, T* out) {
  for (int column = 4 * share.first; column < n; column += 4 * share.step) {
    Four<T> sum = {};
    MENTOR_UNROLL_BY(4)
    for (int k = 0; k < k_size; ++k) {
      const Four<T> x = Load4(a.data + k * a.stride + column);
      MENTOR_UNROLL for (int j = 0; j < 4; ++j) sum.x[j] += x.x[j];
    }
    MENTOR_UNROLL for (int j = 0; j < 4; ++j) {
      if (column + j < n) out[column + j] = sum.x[j];
    }
  }
}

}  // namespace mentor::kernels::tiles
