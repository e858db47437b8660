// Eight floats or four doubles of one AVX2 register behind one set of names, and tanh on them.
// Multiply-add is fused only where the code says Fma, so results are the same on every CPU of the
// instruction set. Pure; threads may share.
#pragma once

#include <cstdint>

#include <immintrin.h>

#include "common/exact_math.h"

namespace mentor::learner {

template <typename T>
struct Simd;

template <>
struct Simd<float> {
  using Vector = __m256;
  static constexpr int64_t kWidth = 8;
  static Vector Load(const float* p) { return _mm256_loadu_ps(p); }
  static void Store(float* p, Vector x) { _mm256_storeu_ps(p, x); }
  static Vector Fill(float x) { return _mm256_set1_ps(x); }
  static Vector Zero() { return _mm256_setzero_ps(); }
  static Vector Add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
  static Vector Sub(Vector a, Vector b) { return _mm256_sub_ps(a, b); }
  static Vector Mul(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  static Vector Div(Vector a, Vector b) { return _mm256_div_ps(a, b); }
  static Vector Sqrt(Vector a) { return _mm256_sqrt_ps(a); }
  static Vector Fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }    // a b + c
  static Vector Fnma(Vector a, Vector b, Vector c) { return _mm256_fnmadd_ps(a, b, c); }  // c - a b

  // Rows of a square tile become its columns.
  static void Transpose(Vector (&r)[8]) {
    Vector pairs[8], quads[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i += 2) {
      pairs[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
      pairs[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i += 4) {
#pragma GCC unroll 8
      for (int k = 0; k < 2; ++k) {
        quads[i + 2 * k] = _mm256_shuffle_ps(pairs[i + k], pairs[i + k + 2], 0x44);
        quads[i + 2 * k + 1] = _mm256_shuffle_ps(pairs[i + k], pairs[i + k + 2], 0xee);
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < 4; ++i) {
      r[i] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x20);
      r[i + 4] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x31);
    }
  }

  // x P(x^2) / Q(x^2), a minimax fit of the relative error on [-9, 9] (2e-8 before rounding);
  // beyond, the float nearest to tanh is one. NaN stays NaN. The error in units of the last place
  // is bounded by ppo_kernels_test.cc.
  static Vector Tanh(Vector x) {
    // The order of the operands matters: min and max return the second one when one is NaN.
    x = _mm256_max_ps(Fill(-9.0f), _mm256_min_ps(Fill(9.0f), x));
    const Vector y = Mul(x, x);
    Vector p = Fma(Fill(1.339599751e-8f), y, Fill(2.063878245e-5f));
    p = Fma(p, y, Fill(3.49738953e-3f));
    p = Fma(p, y, Fill(0.1338254179f));
    p = Fma(p, y, Fill(0.99999998f));
    Vector q = Fma(Fill(7.793433324e-7f), y, Fill(3.28858285e-4f));
    q = Fma(q, y, Fill(0.02588383327f));
    q = Fma(q, y, Fill(0.4671585781f));
    q = Fma(q, y, Fill(1.0f));
    const Vector h = Div(Mul(x, p), q);
    return _mm256_max_ps(Fill(-1.0f), _mm256_min_ps(Fill(1.0f), h));
  }
};

template <>
struct Simd<double> {
  using Vector = __m256d;
  static constexpr int64_t kWidth = 4;
  static Vector Load(const double* p) { return _mm256_loadu_pd(p); }
  static void Store(double* p, Vector x) { _mm256_storeu_pd(p, x); }
  static Vector Fill(double x) { return _mm256_set1_pd(x); }
  static Vector Zero() { return _mm256_setzero_pd(); }
  static Vector Add(Vector a, Vector b) { return _mm256_add_pd(a, b); }
  static Vector Sub(Vector a, Vector b) { return _mm256_sub_pd(a, b); }
  static Vector Mul(Vector a, Vector b) { return _mm256_mul_pd(a, b); }
  static Vector Div(Vector a, Vector b) { return _mm256_div_pd(a, b); }
  static Vector Sqrt(Vector a) { return _mm256_sqrt_pd(a); }
  static Vector Fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_pd(a, b, c); }
  static Vector Fnma(Vector a, Vector b, Vector c) { return _mm256_fnmadd_pd(a, b, c); }

  static void Transpose(Vector (&r)[4]) {
    const Vector a = _mm256_unpacklo_pd(r[0], r[1]), b = _mm256_unpackhi_pd(r[0], r[1]);
    const Vector c = _mm256_unpacklo_pd(r[2], r[3]), d = _mm256_unpackhi_pd(r[2], r[3]);
    r[0] = _mm256_permute2f128_pd(a, c, 0x20);
    r[1] = _mm256_permute2f128_pd(b, d, 0x20);
    r[2] = _mm256_permute2f128_pd(a, c, 0x31);
    r[3] = _mm256_permute2f128_pd(b, d, 0x31);
  }

  // Doubles serve tests, so this one is not fast.
  static Vector Tanh(Vector x) {
    alignas(32) double lanes[4];
    _mm256_store_pd(lanes, x);
    for (double& lane : lanes) lane = exact::Tanh(lane);
    return _mm256_load_pd(lanes);
  }
};

}  // namespace mentor::learner
