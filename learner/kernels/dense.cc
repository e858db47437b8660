#include "learner/kernels/dense.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "learner/kernels/lanes.h"

namespace mentor::learner {
namespace {

// Rows of one tile: 6 x 2 accumulators, 2 operands and a broadcast fill the 16 registers.
constexpr int kTileRows = 6;
// A packed strip of kTileRows columns: whole registers, so that most of it is copied by loads and
// stores.
constexpr int64_t kStrip = 8;
// Rows whose left operand stays in the first cache level while the panels pass by.
constexpr int64_t kBlockRows = 48;

// `step` for the constants 0, 1, ... n-1.
template <int n, typename F>
[[gnu::always_inline]] inline void Unroll(F&& step) {
  [&]<int... i>(std::integer_sequence<int, i...>) {
    (step(std::integral_constant<int, i>()), ...);
  }
  (std::make_integer_sequence<int, n>());
}

// c [kRows, one panel] = bias + a b; no bias when null. `columns` of the panel exist.
template <int kRows, typename T>
void Tile(const T* __restrict a, int64_t a_stride, const T* __restrict b, int64_t inner,
          const T* bias, T* c, int64_t c_stride, int64_t columns) {
  constexpr int kWidth = kLanes<T>;
  Lanes<T> sum[kRows][2];
  Lanes<T> start[2] = {Fill(T(0)), Fill(T(0))};
  if (bias) {
    start[0] = LoadSome(bias, std::min<int64_t>(columns, kWidth));
    if (columns > kWidth) start[1] = LoadSome(bias + kWidth, columns - kWidth);
  }
  Unroll<kRows>([&](auto i) {
    sum[i][0] = start[0];
    sum[i][1] = start[1];
  });
  for (int64_t k = 0; k < inner; ++k) {
    const Lanes<T> left = Load(b + k * 2 * kWidth), right = Load(b + k * 2 * kWidth + kWidth);
    Unroll<kRows>([&](auto i) {
      const Lanes<T> x = Fill(a[i * a_stride + k]);
      sum[i][0] = Fma(x, left, sum[i][0]);
      sum[i][1] = Fma(x, right, sum[i][1]);
    });
  }
  if (columns == 2 * kWidth) {
    Unroll<kRows>([&](auto i) {
      Store(c + i * c_stride, sum[i][0]);
      Store(c + i * c_stride + kWidth, sum[i][1]);
    });
  } else {
    Unroll<kRows>([&](auto i) {
      T lanes[2 * kWidth];
      Store(lanes, sum[i][0]);
      Store(lanes + kWidth, sum[i][1]);
      std::copy_n(lanes, columns, c + i * c_stride);
    });
  }
}

// to[0, size) = from[0, count), then zeros; reads `size` elements when there are so many.
template <int64_t size, typename T>
void CopyOrFill(const T* from, int64_t count, T* to) {
  if (count >= size) {
    Unroll<size / kLanes<T>>(
        [&](auto i) { Store(to + i * kLanes<T>, Load(from + i * kLanes<T>)); });
  } else {
    for (int64_t i = 0; i < size; ++i) to[i] = i < count ? from[i] : T(0);
  }
}

template <typename T>
void AddTo(T* sum, const T* x, int64_t count) {
  int64_t i = 0;
  for (; i + kLanes<T> <= count; i += kLanes<T>) Store(sum + i, Load(sum + i) + Load(x + i));
  for (; i < count; ++i) sum[i] += x[i];
}

// dw [kRows, one panel] += y^T x over the rows of a block, packed: y in strips, x in panels.
template <int kRows, typename T>
void GradientTile(const T* __restrict y, const T* __restrict x, int64_t rows, T* dw,
                  int64_t dw_stride, int64_t columns) {
  constexpr int kWidth = kLanes<T>;
  Lanes<T> sum[kRows][2];
  Unroll<kRows>([&](auto i) { sum[i][0] = sum[i][1] = Fill(T(0)); });
  for (int64_t r = 0; r < rows; ++r) {
    const Lanes<T> left = Load(x + r * 2 * kWidth), right = Load(x + r * 2 * kWidth + kWidth);
    Unroll<kRows>([&](auto i) {
      const Lanes<T> value = Fill(y[r * kStrip + i]);
      sum[i][0] = Fma(value, left, sum[i][0]);
      sum[i][1] = Fma(value, right, sum[i][1]);
    });
  }
  if (columns == 2 * kWidth) {
    Unroll<kRows>([&](auto i) {
      T* out = dw + i * dw_stride;
      Store(out, Load(out) + sum[i][0]);
      Store(out + kWidth, Load(out + kWidth) + sum[i][1]);
    });
  } else {
    Unroll<kRows>([&](auto i) {
      T lanes[2 * kWidth];
      Store(lanes, sum[i][0]);
      Store(lanes + kWidth, sum[i][1]);
      for (int64_t j = 0; j < columns; ++j) dw[i * dw_stride + j] += lanes[j];
    });
  }
}

// Calls body(std::integral_constant<int, rows>) for 1 <= rows <= kTileRows.
template <typename F>
void WithRows(int64_t rows, F&& body) {
  switch (rows) {
    case 1:
      return body(std::integral_constant<int, 1>());
    case 2:
      return body(std::integral_constant<int, 2>());
    case 3:
      return body(std::integral_constant<int, 3>());
    case 4:
      return body(std::integral_constant<int, 4>());
    case 5:
      return body(std::integral_constant<int, 5>());
    default:
      return body(std::integral_constant<int, 6>());
  }
}

// Cuts `rows` into as few tiles as possible of nearly equal height: few rows leave the multipliers
// idle.
template <typename F>
void ForEachTile(int64_t rows, F&& body) {
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  for (int64_t i = 0, begin = 0; i < tiles; ++i) {
    const int64_t end = (i + 1) * rows / tiles;
    body(begin, end - begin);
    begin = end;
  }
}

}  // namespace

template <typename T>
void PackedMatrix<T>::Resize(int64_t rows, int64_t columns) {
  rows_ = rows;
  columns_ = columns;
  data_.assign(static_cast<size_t>((columns + kPanel - 1) / kPanel * kPanel * rows), T(0));
}

template <typename T>
void PackedMatrix<T>::SetRow(int64_t row, int64_t column, const T* source, int64_t count) {
  MENTOR_CHECK(row < rows_ && column + count <= columns_);
  for (int64_t at = column; at < column + count;) {
    const int64_t run = std::min(kPanel - at % kPanel, column + count - at);
    std::copy_n(source + (at - column), run,
                data_.data() + (at / kPanel * rows_ + row) * kPanel + at % kPanel);
    at += run;
  }
}

template <typename T>
void PackedMatrix<T>::SetTransposed(int64_t column, const T* weights, int64_t stride,
                                    int64_t count) {
  MENTOR_CHECK(column + count <= columns_);
  for (int64_t at = column; at < column + count; ++at) {
    const T* source = weights + (at - column) * stride;
    T* to = data_.data() + at / kPanel * rows_ * kPanel + at % kPanel;
    for (int64_t row = 0; row < rows_; ++row) to[row * kPanel] = source[row];
  }
}

template <typename T>
void Multiply(const T* a, int64_t a_stride, int64_t rows, const PackedMatrix<T>& b, const T* bias,
              T* c, int64_t c_stride) {
  constexpr int64_t kPanel = PackedMatrix<T>::kPanel;
  for (int64_t block = 0; block < rows; block += kBlockRows) {
    const int64_t block_rows = std::min(kBlockRows, rows - block);
    for (int64_t column = 0; column < b.columns(); column += kPanel) {
      const T* panel = b.panel(column / kPanel);
      const T* start = bias ? bias + column : nullptr;
      const int64_t columns = std::min(kPanel, b.columns() - column);
      ForEachTile(block_rows, [&](int64_t begin, int64_t count) {
        const int64_t row = block + begin;
        WithRows(count, [&](auto n) {
          Tile<n>(a + row * a_stride, a_stride, panel, b.rows(), start, c + row * c_stride + column,
                  c_stride, columns);
        });
      });
    }
  }
}

template <typename T>
void Dot(const T* a, int64_t a_stride, int64_t rows, const T* w, int64_t size, T bias, T* out,
         int64_t out_stride) {
  constexpr int kWidth = kLanes<T>;
  const int64_t whole = size / kWidth * kWidth;
  for (int64_t r = 0; r < rows; ++r) {
    const T* row = a + r * a_stride;
    Lanes<T> sum = Fill(T(0));
    for (int64_t k = 0; k < whole; k += kWidth) sum = Fma(Load(row + k), Load(w + k), sum);
    if (whole < size)
      sum = Fma(LoadSome(row + whole, size - whole), LoadSome(w + whole, size - whole), sum);
    T total = bias;
    for (int i = 0; i < kWidth; ++i) total += sum[i];
    out[r * out_stride] = total;
  }
}

template <typename T>
void WeightGradient<T>::Add(const T* y, int64_t y_stride, int64_t y_columns, const T* x,
                            int64_t x_stride, int64_t x_columns, int64_t rows, T* dw,
                            int64_t dw_stride, T* db) {
  constexpr int64_t kPanel = PackedMatrix<T>::kPanel;
  const int64_t strips = (y_columns + kTileRows - 1) / kTileRows;
  const int64_t panels = (x_columns + kPanel - 1) / kPanel;
  packed_y_.resize(static_cast<size_t>(strips * kRows * kStrip));
  packed_x_.resize(static_cast<size_t>(panels * kRows * kPanel));
  for (int64_t block = 0; block < rows; block += kRows) {
    const int64_t block_rows = std::min(kRows, rows - block);
    for (int64_t r = 0; r < block_rows; ++r) {
      const T* y_row = y + (block + r) * y_stride;
      const T* x_row = x + (block + r) * x_stride;
      for (int64_t s = 0; s < strips; ++s) {
        CopyOrFill<kStrip>(y_row + s * kTileRows, y_columns - s * kTileRows,
                           packed_y_.data() + (s * kRows + r) * kStrip);
      }
      for (int64_t p = 0; p < panels; ++p) {
        CopyOrFill<kPanel>(x_row + p * kPanel, x_columns - p * kPanel,
                           packed_x_.data() + (p * kRows + r) * kPanel);
      }
      if (db) AddTo(db, y_row, y_columns);
    }
    for (int64_t p = 0; p < panels; ++p) {
      const T* panel = packed_x_.data() + p * kRows * kPanel;
      const int64_t columns = std::min(kPanel, x_columns - p * kPanel);
      for (int64_t s = 0; s < strips; ++s) {
        const int64_t count = std::min<int64_t>(kTileRows, y_columns - s * kTileRows);
        WithRows(count, [&](auto n) {
          GradientTile<n>(packed_y_.data() + s * kRows * kStrip, panel, block_rows,
                          dw + s * kTileRows * dw_stride + p * kPanel, dw_stride, columns);
        });
      }
    }
  }
}

template class PackedMatrix<float>;
template class PackedMatrix<double>;
template class WeightGradient<float>;
template class WeightGradient<double>;
template void Multiply(const float*, int64_t, int64_t, const PackedMatrix<float>&, const float*,
                       float*, int64_t);
template void Multiply(const double*, int64_t, int64_t, const PackedMatrix<double>&, const double*,
                       double*, int64_t);
template void Dot(const float*, int64_t, int64_t, const float*, int64_t, float, float*, int64_t);
template void Dot(const double*, int64_t, int64_t, const double*, int64_t, double, double*,
                  int64_t);

}  // namespace mentor::learner
