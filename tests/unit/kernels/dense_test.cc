// Products and elementary functions of the signal network: they are right, and have the same bits
// at every place.
#include "kernels/dense.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "common/exact_math.h"
#include "common/rng.h"
#include "kernels/lanes.h"
#include "tests/testing.h"

namespace mentor::kernels::TEST_FILE {

template <typename T>
AlignedVector<T> Normals(uint32_t number, int64_t size) {
  const RandomStream stream{.seed = 5};
  std::vector<double> values(static_cast<size_t>(size));
  stream.Normals(number, values);
  return {values.begin(), values.end()};
}

template <typename T>
void CheckProducts(int64_t rows, int64_t inner, int64_t columns) {
  INFO("[" << rows << ", " << inner << "] x [" << inner << ", " << columns << "], " << sizeof(T)
           << " bytes");
  const double tolerance =
      (sizeof(T) == 8 ? 1e-15 : 1e-6) * std::sqrt(static_cast<double>(std::max(inner, rows))) * 20;
  const int64_t a_stride = inner + 3, c_stride = columns + 2;
  const auto a = Normals<T>(0, rows * a_stride), w = Normals<T>(1, columns * inner),
             bias = Normals<T>(2, columns);
  PackedMatrix<T> packed;
  packed.Resize(inner, columns);
  packed.SetTransposed(0, w.data(), inner, columns);

  constexpr T kUntouched = 77;
  AlignedVector<T> c(static_cast<size_t>(rows * c_stride), kUntouched), no_bias = c;
  Multiply(a.data(), a_stride, rows, packed, bias.data(), c.data(), c_stride);
  Multiply<T>(a.data(), a_stride, rows, packed, nullptr, no_bias.data(), c_stride);
  double worst = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < columns; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < inner; ++k)
        sum += static_cast<double>(a[r * a_stride + k]) * w[j * inner + k];
      worst = std::max({worst, std::abs(sum + bias[j] - c[r * c_stride + j]),
                        std::abs(sum - no_bias[r * c_stride + j])});
    }
    CHECK(c[r * c_stride + columns] == kUntouched);
    CHECK(c[r * c_stride + columns + 1] == kUntouched);
    // A single row has the same bits as in a batch.
    AlignedVector<T> alone(static_cast<size_t>(columns));
    Multiply(a.data() + r * a_stride, a_stride, 1, packed, bias.data(), alone.data(), columns);
    CHECK(std::memcmp(alone.data(), c.data() + r * c_stride,
                      static_cast<size_t>(columns) * sizeof(T)) == 0);
  }
  CHECK(worst < tolerance);

  // dw = y^T a and the column sums of y are added to the present values.
  const auto y = Normals<T>(3, rows * columns);
  AlignedVector<T> dw(static_cast<size_t>(columns * inner), T(1)),
      db(static_cast<size_t>(columns), T(2));
  WeightGradient<T> gradient;
  gradient.Add(y.data(), columns, columns, a.data(), a_stride, inner, rows, dw.data(), inner,
               db.data());
  worst = 0;
  for (int64_t j = 0; j < columns; ++j) {
    double bias_sum = 2;
    for (int64_t r = 0; r < rows; ++r) bias_sum += y[r * columns + j];
    worst = std::max(worst, std::abs(bias_sum - db[j]));
    for (int64_t k = 0; k < inner; ++k) {
      double sum = 1;
      for (int64_t r = 0; r < rows; ++r)
        sum += static_cast<double>(y[r * columns + j]) * a[r * a_stride + k];
      worst = std::max(worst, std::abs(sum - dw[j * inner + k]));
    }
  }
  CHECK(worst < tolerance);

  AlignedVector<T> dots(static_cast<size_t>(rows));
  Dot(a.data(), a_stride, rows, w.data(), inner, bias[0], dots.data(), 1);
  for (int64_t r = 0; r < rows; ++r) {
    double sum = bias[0];
    for (int64_t k = 0; k < inner; ++k) sum += static_cast<double>(a[r * a_stride + k]) * w[k];
    CHECK(std::abs(sum - dots[r]) < tolerance);
  }
}

// Greatest relative error of f against its double counterpart over [low, high].
template <typename F, typename G>
double WorstError(float low, float high, F f, G reference) {
  double worst = 0;
  constexpr int kPoints = 200000;
  for (int i = 0; i <= kPoints; ++i) {
    const float x = low + (high - low) * static_cast<float>(i) / kPoints;
    const double want = reference(static_cast<double>(x));
    if (want != 0) worst = std::max(worst, std::abs(f(Fill(x))[0] / want - 1));
  }
  return worst;
}

TEST_CASE("dense: products and weight gradients of any shape") {
  for (const int64_t rows : {1, 2, 6, 7, 13, 48, 49, 97, 200}) {
    for (const auto& [inner, columns] :
         {std::pair<int64_t, int64_t>{1, 1}, {5, 3}, {8, 16}, {9, 17}, {31, 40}}) {
      CheckProducts<float>(rows, inner, columns);
      CheckProducts<double>(rows, inner, columns);
    }
  }
}

TEST_CASE("dense: rows and transposed blocks side by side") {
  PackedMatrix<float> packed;
  packed.Resize(2, 19);
  const float left[] = {1, 2, 3, 4, 5, 6};  // Three columns: (1, 2), (3, 4), (5, 6).
  packed.SetTransposed(0, left, 2, 3);
  float right[16];
  for (int i = 0; i < 16; ++i) right[i] = static_cast<float>(100 + i);
  packed.SetRow(0, 3, right, 16);
  packed.SetRow(1, 3, right, 16);
  const float a[] = {10, 1};
  float c[19];
  Multiply<float>(a, 2, 1, packed, nullptr, c, 19);
  CHECK(c[0] == 12);
  CHECK(c[1] == 34);
  CHECK(c[2] == 56);
  for (int i = 0; i < 16; ++i) CHECK(c[3 + i] == 11 * (100 + i));
}

TEST_CASE("lanes: elementary functions have float accuracy") {
  CHECK(WorstError(
            -86, 86, [](auto x) { return Exp(x); }, [](double x) { return std::exp(x); }) < 1.5e-7);
  CHECK(WorstError(
            -80, 80, [](auto x) { return Sigmoid(x); },
            [](double x) { return 1 / (1 + std::exp(-x)); }) < 2.5e-7);
  CHECK(WorstError(
            -12, 12, [](auto x) { return Tanh(x); }, [](double x) { return std::tanh(x); }) < 5e-7);
  CHECK(WorstError(
            -1e-3f, 1e-3f, [](auto x) { return Tanh(x); }, [](double x) { return std::tanh(x); }) <
        5e-7);
  double worst = 0;
  for (double x = -30; x < 30; x += 1e-4)
    worst = std::max(worst, std::abs(exact::Atan(x) / std::atan(x) - 1));
  CHECK(worst < 5e-16);
  CHECK(std::abs(exact::Atan(1e300) - std::atan(1e300)) < 1e-15);
}

TEST_CASE("lanes: saturation and NaN") {
  const float infinity = std::numeric_limits<float>::infinity(),
              nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(Tanh(Fill(infinity))[3] == 1);
  CHECK(Tanh(Fill(-50.0f))[3] == -1);
  CHECK(Sigmoid(Fill(infinity))[3] == 1);
  CHECK(Sigmoid(Fill(-infinity))[3] < 1e-37f);
  CHECK(Exp(Fill(200.0f))[0] < infinity);
  for (const float got :
       {Tanh(Fill(nan))[0], Sigmoid(Fill(nan))[0], Exp(Fill(nan))[0], MaxWithZero(Fill(nan))[0]}) {
    CHECK(std::isnan(got));
  }
  CHECK(std::isnan(exact::Atan(std::numeric_limits<double>::quiet_NaN())));
}

TEST_CASE("lanes: the end of an array is computed like its middle and nothing beyond is touched") {
  for (const int64_t size : {1, 7, 8, 9, 15, 17}) {
    auto x = Normals<float>(9, 20);
    const auto before = x;
    ForLanes<float>(
        size, [&](int64_t j, auto at) { at.Store(x.data() + j, Tanh(at.Load(x.data() + j))); });
    for (int64_t i = 0; i < 20; ++i)
      CHECK(x[i] == (i < size ? Tanh(Fill(before[i]))[0] : before[i]));
  }
}

}  // namespace mentor::kernels::TEST_FILE
