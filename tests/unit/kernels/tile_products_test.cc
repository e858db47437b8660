#include "kernels/tile_products.h"

#include <cstring>

#include "common/rng.h"
#include "kernels/matrix_kernels.h"
#include "tests/testing.h"

namespace mentor::kernels::TEST_FILE {

// Rows and columns in the form of tiles, with NaN for those past the end. Many numbers are zeros of
// both signs, and some products are too small for any number: sums may be -0.
template <typename T>
struct Padded {
  int rows, columns, stride;
  std::vector<T> data;

  Padded(int rows_in, int columns_in, uint32_t number)
      : rows(rows_in),
        columns(columns_in),
        stride(tiles::Stride(columns)),
        data(tiles::RoundUp(rows, tiles::kRowsPadded) * stride + 8, std::nan("")) {
    std::vector<double> x(static_cast<size_t>(rows) * columns);
    const RandomStream stream{.seed = 13};
    stream.Normals(number, x);
    for (int i = 0; i < rows * columns; ++i) {
      T& to = At(i / columns, i % columns);
      // Whole rows without anything but zeros, too.
      const uint64_t kind = i / columns % 3 == 1 ? 0 : stream.Below(4, number, i);
      to = kind == 0 ? T(std::copysign(0.0, x[i]))
                     : static_cast<T>(kind == 1 ? x[i] * (sizeof(T) == 4 ? 1e-30 : 1e-200) : x[i]);
    }
  }
  T& At(int row, int column) { return data[row * stride + column]; }
  tiles::Rows<const T> Tiles() const { return {data.data(), stride}; }
  Matrix<const T> Rows() const { return {data.data(), stride}; }
};

// work(share) by all threads of a block.
template <class Work>
void ByThreads(const Work& work) {
  constexpr int kThreads = 7;
  for (int tid = kThreads - 1; tid >= 0; --tid) work(tiles::Share{tid, kThreads});
}

template <typename T>
bool SameRows(Padded<T> a, Padded<T> b) {
  for (int row = 0; row < a.rows; ++row) {
    if (std::memcmp(&a.At(row, 0), &b.At(row, 0), a.columns * sizeof(T)) != 0) return false;
  }
  return true;
}

TEMPLATE_TEST_CASE("tile products: the bits of the CPU's products, -0 among them", "[unit]", float,
                   double) {
  using T = TestType;
  bool negative_zero = false;
  for (int m : {1, 5, 32, 45}) {
    for (int n : {1, 3, 4, 10, 33}) {
      for (int k : {1, 2, 4, 7, 39}) {
        INFO(m << " x " << n << ", sums of " << k);
        const Padded<T> a(m, k, 0), w(n, k, 1), b(k, n, 2), a_columns(k, m, 3);
        Padded<T> bias(1, n, 4), w_transposed(k, n, 5);
        bias.At(0, 0) = -T{0};
        Transpose<T>(n, k, w.Rows(), {w_transposed.data.data(), w_transposed.stride});
        const auto times_transposed = [&](auto rows, Padded<T>* c) {
          ByThreads([&](tiles::Share share) {
            tiles::TimesTransposed<decltype(rows)::value, T>(
                share, m, n, k, a.Tiles(), w.Tiles(), bias.data.data(),
                [&](int row, int column, T sum) { c->At(row, column) = sum; });
          });
        };
        const Padded<T> c(m, n, 6);
        Padded<T> want = c, got = c;
        Multiply<Left::kRows, Then::kBias, T>(m, n, k, a.Rows(), w_transposed.Rows(),
                                              bias.data.data(), {want.data.data(), want.stride});
        times_transposed(std::integral_constant<int, tiles::kRows>(), &got);
        CHECK(SameRows(got, want));
        got = c;
        times_transposed(std::integral_constant<int, 1>(), &got);
        CHECK(SameRows(got, want));
        for (int row = 0; row < m; ++row)
          negative_zero |= want.At(row, 0) == 0 && std::signbit(want.At(row, 0));

        want = got = c;
        const std::vector<T> zeros(want.stride + 8);
        Multiply<Left::kRows, Then::kBias, T>(m, n, k, a.Rows(), b.Rows(), zeros.data(),
                                              {want.data.data(), want.stride});
        ByThreads([&](tiles::Share share) {
          tiles::Times<T>(share, m, n, k, a.Tiles(), b.Tiles(),
                          [&](int row, int column, const Four<T>& sum) {
                            std::copy_n(sum.x, 4, &got.At(row, column));
                          });
        });
        CHECK(SameRows(got, want));

        // Into an array without padding.
        std::vector<T> dense(m * n + 1, T{7}), dense_want = dense;
        Multiply<Left::kColumns, Then::kStore, T>(m, n, k, a_columns.Rows(), b.Rows(), nullptr,
                                                  {dense_want.data(), n});
        const auto same_dense = [&] {
          return std::memcmp(dense.data(), dense_want.data(), dense.size() * sizeof(T)) == 0;
        };
        ByThreads([&](tiles::Share share) {
          tiles::TransposedTimes<4, T>(share, m, n, k, a_columns.Tiles(), b.Tiles(), dense.data());
        });
        CHECK(same_dense());
        dense.assign(m * n + 1, T{7});
        ByThreads([&](tiles::Share share) {
          tiles::TransposedTimes<1, T>(share, m, n, k, a_columns.Tiles(), b.Tiles(), dense.data());
        });
        CHECK(same_dense());

        dense.assign(n + 1, T{7});
        dense_want = dense;
        SumRows<T>(k, n, b.Rows(), dense_want.data());
        ByThreads(
            [&](tiles::Share share) { tiles::SumRows<T>(share, n, k, b.Tiles(), dense.data()); });
        CHECK(same_dense());
      }
    }
  }
  CHECK(negative_zero);
}

}  // namespace mentor::kernels::TEST_FILE
