// Eight floats or four doubles of an AVX2 register, or sixteen floats of an AVX-512 one, behind one
// set of names. Multiply-add is fused only where the code says Fma, so results are the same on
// every CPU. Pure; threads may share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include <immintrin.h>

#include "common/exact_math.h"
#include "kernels/isa.h"

namespace mentor::kernels {

template <typename T>
struct Simd;

template <>
struct Simd<float> {
  using Number = float;
  using Vector = __m256;
  using Part = int64_t;
  static constexpr int64_t kWidth = 8;
  // Accumulators of tiles: with two operands and a broadcast they fill the 16 registers.
  static constexpr int kTileRows = 6;
  static Vector Load(const float* p) { return _mm256_loadu_ps(p); }
  static void Store(float* p, Vector x) { _mm256_storeu_ps(p, x); }
  static Vector Fill(float x) { return _mm256_set1_ps(x); }
  static Vector Zero() { return _mm256_setzero_ps(); }
  static Vector Add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
  static Vector Sub(Vector a, Vector b) { return _mm256_sub_ps(a, b); }
  static Vector Mul(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  static Vector Div(Vector a, Vector b) { return _mm256_div_ps(a, b); }
  static Vector Sqrt(Vector a) { return _mm256_sqrt_ps(a); }
  // Returns the second operand when one is NaN.
  static Vector Max(Vector a, Vector b) { return _mm256_max_ps(a, b); }
  static Vector Min(Vector a, Vector b) { return _mm256_min_ps(a, b); }
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

  // The first `count` lanes, at most kWidth. Only LoadPadded reads beyond them; nothing writes
  // beyond.
  static Part First(int64_t count) {
    return std::min(count, kWidth);
  }
  static Vector LoadSome(const float* p, Part part) {
    if (part == kWidth) return Load(p);
    float lanes[kWidth] = {};
    std::memcpy(lanes, p, static_cast<size_t>(part) * sizeof(float));
    return Load(lanes);
  }
  // For places where a whole register can be read; the other lanes are arbitrary.
  static Vector LoadPadded(const float* p, Part) {
    return Load(p);
  }
  static void StoreSome(float* p, Vector x, Part part) {
    if (part == kWidth) return Store(p, x);
    float lanes[kWidth];
    Store(lanes, x);
    std::memcpy(p, lanes, static_cast<size_t>(part) * sizeof(float));
  }
};

template <>
struct Simd<double> {
  using Number = double;
  using Vector = __m256d;
  using Part = int64_t;
  static constexpr int64_t kWidth = 4;
  static constexpr int kTileRows = 6;
  static Vector Load(const double* p) { return _mm256_loadu_pd(p); }
  static void Store(double* p, Vector x) { _mm256_storeu_pd(p, x); }
  static Vector Fill(double x) { return _mm256_set1_pd(x); }
  static Vector Zero() { return _mm256_setzero_pd(); }
  static Vector Add(Vector a, Vector b) { return _mm256_add_pd(a, b); }
  static Vector Sub(Vector a, Vector b) { return _mm256_sub_pd(a, b); }
  static Vector Mul(Vector a, Vector b) { return _mm256_mul_pd(a, b); }
  static Vector Div(Vector a, Vector b) { return _mm256_div_pd(a, b); }
  static Vector Sqrt(Vector a) { return _mm256_sqrt_pd(a); }
  // Returns the second operand when one is NaN.
  static Vector Max(Vector a, Vector b) { return _mm256_max_pd(a, b); }
  static Vector Min(Vector a, Vector b) { return _mm256_min_pd(a, b); }
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

  // The first `count` lanes, at most kWidth. Only LoadPadded reads beyond them; nothing writes
  // beyond.
  static Part First(int64_t count) { return std::min(count, kWidth); }
  static Vector LoadSome(const double* p, Part part) {
    if (part == kWidth) return Load(p);
    double lanes[kWidth] = {};
    std::memcpy(lanes, p, static_cast<size_t>(part) * sizeof(double));
    return Load(lanes);
  }
  // For places where a whole register can be read; the other lanes are arbitrary.
  static Vector LoadPadded(const double* p, Part) { return Load(p); }
  static void StoreSome(double* p, Vector x, Part part) {
    if (part == kWidth) return Store(p, x);
    double lanes[kWidth];
    Store(lanes, x);
    std::memcpy(p, lanes, static_cast<size_t>(part) * sizeof(double));
  }
};

#if MENTOR_HAVE_AVX512
MENTOR_AVX512_BEGIN
struct Simd512 {
  using Number = float;
  using Vector = __m512;
  using Part = __mmask16;
  static constexpr int64_t kWidth = 16;
  static constexpr int kTileRows = 12;
  static Vector Load(const float* p) { return _mm512_loadu_ps(p); }
  static void Store(float* p, Vector x) { _mm512_storeu_ps(p, x); }
  static Vector Fill(float x) { return _mm512_set1_ps(x); }
  static Vector Zero() { return _mm512_setzero_ps(); }
  static Vector Add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
  static Vector Mul(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
  static Vector Div(Vector a, Vector b) { return _mm512_div_ps(a, b); }
  // Masked, because GCC 12 warns of its own filler otherwise (its bug 105593).
  static Vector Max(Vector a, Vector b) { return _mm512_mask_max_ps(a, 0xffff, a, b); }
  static Vector Min(Vector a, Vector b) { return _mm512_mask_min_ps(a, 0xffff, a, b); }
  static Vector Fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  static Vector Fnma(Vector a, Vector b, Vector c) { return _mm512_fnmadd_ps(a, b, c); }

  static Part First(int64_t count) {
    return static_cast<Part>(0xffffu >> (kWidth - std::min(count, kWidth)));
  }
  static Vector LoadSome(const float* p, Part part) { return _mm512_maskz_loadu_ps(part, p); }
  static Vector LoadPadded(const float* p, Part part) { return LoadSome(p, part); }
  static void StoreSome(float* p, Vector x, Part part) { _mm512_mask_storeu_ps(p, part, x); }
};
MENTOR_AVX512_END
#endif

}  // namespace mentor::kernels
