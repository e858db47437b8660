#include "agents/ppo_kernels.h"

#include <bit>
#include <cmath>
#include <limits>

#include "common/rng.h"
#include "kernels/isa.h"
#include "kernels/lanes.h"
#include "kernels/matrix_kernels.h"
#include "tests/testing.h"

namespace mentor::agents::TEST_FILE {

std::vector<double> Normals(size_t size, uint32_t step) {
  std::vector<double> x(size);
  RandomStream{.seed = 3}.Normals(step, x);
  return x;
}

template <typename T>
std::vector<T> NormalsAs(size_t size, uint32_t step) {
  const std::vector<double> x = Normals(size, step);
  return {x.begin(), x.end()};
}

float VectorTanh(float x) {
  return kernels::Tanh(kernels::Fill(x))[5];
}

TEST_CASE("kernels: float tanh is within 5 units of the last place, odd, and never beyond one",
          "[unit]") {
  // 2^17 floats from the smallest normal one to 30, evenly spread over the exponents.
  double worst = 0;
  float worst_x = 0;
  bool bounded = true, odd = true;
  const uint32_t first = std::bit_cast<uint32_t>(1.2e-38f), last = std::bit_cast<uint32_t>(30.0f);
  for (uint32_t bits = first; bits < last; bits += (last - first) >> 17) {
    const float x = std::bit_cast<float>(bits);
    const double want = std::tanh(static_cast<double>(x));
    const float got = VectorTanh(x);
    const double ulp = std::nextafter(static_cast<float>(want), 2.0f) - static_cast<float>(want);
    const double error = std::abs(got - want) / ulp;
    if (error > worst) {
      worst = error;
      worst_x = x;
    }
    bounded = bounded && got <= 1;
    odd = odd && VectorTanh(-x) == -got;
  }
  INFO("worst " << worst << " at " << worst_x);
  CHECK(worst < 5);
  CHECK(bounded);
  CHECK(odd);
  CHECK(VectorTanh(0.0f) == 0);
  CHECK(VectorTanh(std::numeric_limits<float>::infinity()) == 1);
  CHECK(std::isnan(VectorTanh(std::numeric_limits<float>::quiet_NaN())));
}

TEMPLATE_TEST_CASE(
    "kernels: products of all shapes, with what follows them, as plain loops have them", "[unit]",
    float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 1e-5 : 1e-13;
  constexpr int64_t kPadding = 8;
  for (int64_t rows : {1, 5, 6, 13, 29}) {
    for (int64_t columns : {1, 4, 8, 15, 16, 17, 40}) {
      for (int64_t k_size : {1, 7, 64}) {
        const int64_t b_stride = (columns + kPadding) / 8 * 8 + 8;
        const std::vector<T> a = NormalsAs<T>(rows * k_size, 0),
                             b = NormalsAs<T>(k_size * b_stride, 1),
                             bias = NormalsAs<T>(b_stride, 2), h = NormalsAs<T>(rows * b_stride, 4);
        std::vector<T> a_columns(rows * k_size);
        for (int64_t m = 0; m < rows; ++m) {
          for (int64_t k = 0; k < k_size; ++k) a_columns[k * rows + m] = a[m * k_size + k];
        }
        std::vector<T> stored(rows * b_stride, T{7}), biased = stored, squashed = stored,
                                                      gradient = h, tangent = h;
        kernels::Multiply<kernels::Left::kColumns, kernels::Then::kStore, T>(
            rows, columns, k_size, {a_columns.data(), rows}, {b.data(), b_stride}, nullptr,
            {stored.data(), b_stride});
        kernels::Multiply<kernels::Left::kRows, kernels::Then::kBias, T>(
            rows, columns, k_size, {a.data(), k_size}, {b.data(), b_stride}, bias.data(),
            {biased.data(), b_stride});
        kernels::Multiply<kernels::Left::kRows, kernels::Then::kBiasTanh, T>(
            rows, columns, k_size, {a.data(), k_size}, {b.data(), b_stride}, bias.data(),
            {squashed.data(), b_stride});
        kernels::Multiply<kernels::Left::kRows, kernels::Then::kTanhGrad, T>(
            rows, columns, k_size, {a.data(), k_size}, {b.data(), b_stride}, nullptr,
            {gradient.data(), b_stride});
        kernels::Multiply<kernels::Left::kRows, kernels::Then::kBiasTanhGrad, T>(
            rows, columns, k_size, {a.data(), k_size}, {b.data(), b_stride}, bias.data(),
            {tangent.data(), b_stride});
        double worst = 0;
        bool untouched = true;
        for (int64_t m = 0; m < rows; ++m) {
          for (int64_t n = 0; n < b_stride; ++n) {
            const int64_t i = m * b_stride + n;
            if (n >= columns) {
              untouched = untouched && stored[i] == T{7} && biased[i] == T{7} &&
                          squashed[i] == T{7} && gradient[i] == h[i] && tangent[i] == h[i];
              continue;
            }
            double sum = 0, size = 1;
            for (int64_t k = 0; k < k_size; ++k) {
              const double term = static_cast<double>(a[m * k_size + k]) * b[k * b_stride + n];
              sum += term;
              size += std::abs(term);
            }
            const double old = h[i];
            for (double error :
                 {stored[i] - sum, biased[i] - (sum + bias[n]),
                  squashed[i] - std::tanh(sum + bias[n]),
                  (gradient[i] - sum * (1 - old * old)) / (1 + old * old),
                  (tangent[i] - (sum + bias[n]) * (1 - old * old)) / (1 + old * old)}) {
              worst = std::max(worst, std::abs(error) / size);
            }
          }
        }
        INFO(rows << " x " << columns << ", sums of " << k_size << ": " << worst);
        CHECK(worst < tolerance);
        CHECK(untouched);

        std::vector<T> sums(columns), transposed(columns * rows, T{7});
        kernels::SumRows<T>(k_size, columns, {b.data(), b_stride}, sums.data());
        kernels::Transpose<T>(rows, columns, {h.data(), b_stride}, {transposed.data(), rows});
        worst = 0;
        bool moved = true;
        for (int64_t n = 0; n < columns; ++n) {
          double sum = 0;
          for (int64_t k = 0; k < k_size; ++k) sum += b[k * b_stride + n];
          worst = std::max(worst, std::abs(sums[n] - sum) / static_cast<double>(k_size));
          for (int64_t m = 0; m < rows; ++m)
            moved = moved && transposed[n * rows + m] == h[m * b_stride + n];
        }
        CHECK(worst < tolerance);
        CHECK(moved);
      }
    }
  }
}

TEMPLATE_TEST_CASE("kernels: the squared norm takes every element once", "[unit]", float, double) {
  using T = TestType;
  for (size_t size : {1u, 3u, 8u, 31u, 32u, 33u, 1000u}) {
    const std::vector<T> x = NormalsAs<T>(size, 5);
    double want = 0;
    for (T e : x) want += static_cast<double>(e) * e;
    CHECK(testing::Near(kernels::SquaredNorm<T>(x), want, {.rel = sizeof(T) == 4 ? 1e-6 : 1e-14}));
  }
}

TEMPLATE_TEST_CASE("kernels: the value of a row does not depend on the rows beside it", "[unit]",
                   float, double) {
  using T = TestType;
  const KernelSizes sizes{.observation_size = 5, .action_size = 2, .hidden_units = 12};
  const int64_t p = 2 * (12 * 5 + 12 + 12 * 12 + 12) + 2 * 12 + 2 + 2 + 12 + 1;
  const std::vector<T> theta = NormalsAs<T>(p, 6), observations = NormalsAs<T>(23 * 5, 7);
  std::vector<T> together(23), alone(23), in_threes(23);
  PpoKernels<T>(sizes, {}, 23).Values(theta.data(), observations.data(), 23, together.data());
  PpoKernels<T>(sizes, {}, 3).Values(theta.data(), observations.data(), 23, in_threes.data());
  for (int64_t i = 0; i < 23; ++i) {
    PpoKernels<T>(sizes, {}, 1).Values(theta.data(), &observations[i * 5], 1, &alone[i]);
  }
  CHECK(together == alone);
  CHECK(together == in_threes);
  CHECK(together[0] != together[1]);
}

}  // namespace mentor::agents::TEST_FILE
