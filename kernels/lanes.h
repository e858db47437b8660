// Arrays of the signal network, a register at a time, and its elementary functions. Fixed
// arithmetic without libm: a result never depends on its place in an array, on the CPU or on a
// library. Pure; threads may share.
#pragma once

#include <cstdint>
#include <cstring>

#include <immintrin.h>

#include "common/exact_math.h"
#include "kernels/simd.h"

namespace mentor::kernels {

#include "kernels/elementary.inc"

template <typename T>
using Lanes = typename Simd<T>::Vector;
template <typename T>
inline constexpr int64_t kLanes = Simd<T>::kWidth;

template <typename T>
Lanes<T> Load(const T* p) {
  return Simd<T>::Load(p);
}
inline void Store(float* p, __m256 x) {
  Simd<float>::Store(p, x);
}
inline void Store(double* p, __m256d x) {
  Simd<double>::Store(p, x);
}
template <typename T>
Lanes<T> Fill(T x) {
  return Simd<T>::Fill(x);
}
// a b + c, rounded once.
inline __m256 Fma(__m256 a, __m256 b, __m256 c) {
  return Simd<float>::Fma(a, b, c);
}
inline __m256d Fma(__m256d a, __m256d b, __m256d c) {
  return Simd<double>::Fma(a, b, c);
}
// max returns its second operand when one is NaN, so a NaN stays.
inline __m256 MaxWithZero(__m256 x) {
  return _mm256_max_ps(_mm256_setzero_ps(), x);
}
inline __m256d MaxWithZero(__m256d x) {
  return _mm256_max_pd(_mm256_setzero_pd(), x);
}
// x where gate > 0, else 0.
inline __m256 WherePositive(__m256 gate, __m256 x) {
  return _mm256_and_ps(_mm256_cmp_ps(gate, _mm256_setzero_ps(), _CMP_GT_OQ), x);
}
inline __m256d WherePositive(__m256d gate, __m256d x) {
  return _mm256_and_pd(_mm256_cmp_pd(gate, _mm256_setzero_pd(), _CMP_GT_OQ), x);
}

// Reads and writes whole registers, or the first lanes of one at the end of an array.
template <typename T>
struct WholeRegister {
  Lanes<T> Load(const T* p) const { return kernels::Load(p); }
  void Store(T* p, Lanes<T> x) const { kernels::Store(p, x); }
};
template <typename T>
struct PartOfRegister {
  int64_t count;
  Lanes<T> Load(const T* p) const { return Simd<T>::LoadSome(p, count); }
  void Store(T* p, Lanes<T> x) const { Simd<T>::StoreSome(p, x, count); }
};
// body(first index, access) along an array of n elements.
template <typename T, typename F>
[[gnu::always_inline]] inline void ForLanes(int64_t n, F&& body) {
  int64_t j = 0;
  for (; j + kLanes<T> <= n; j += kLanes<T>) body(j, WholeRegister<T>());
  if (j < n) body(j, PartOfRegister<T>{n - j});
}

// e^x, |x| clamped to 87. NaN stays NaN.
inline __m256 Exp(__m256 x) {
  // The operand order of min and max lets a NaN through.
  x = _mm256_max_ps(Fill(-87.0f), _mm256_min_ps(Fill(87.0f), x));
  // x = k ln 2 + r. The high part of ln 2 has 9 bits, so its product with k is exact.
  const __m256 k =
      _mm256_round_ps(x * Fill(0x1.715476p+0f), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256 r = Fma(k, Fill(-0.693359375f), x);
  r = Fma(k, Fill(2.12194440e-4f), r);
  // Own minimax fit of e^r for |r| <= ln 2 / 2: relative error 3.1e-9.
  __m256 p = Fill(0.00138147714f);
  p = Fma(p, r, Fill(0.00836869327f));
  p = Fma(p, r, Fill(0.0416683835f));
  p = Fma(p, r, Fill(0.166665209f));
  p = Fma(p, r, Fill(0.499999935f));
  p = Fma(p, r, Fill(1.0f));
  p = Fma(p, r, Fill(1.0f));
  const __m256i bits =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(k), _mm256_set1_epi32(127)), 23);
  return p * _mm256_castsi256_ps(bits);
}
inline __m256 Sigmoid(__m256 x) {
  const __m256 one = Fill(1.0f);
  return one / (one + Exp(_mm256_sub_ps(_mm256_setzero_ps(), x)));
}
inline __m256 Tanh(__m256 x) {
  return TanhOf<Simd<float>>(x);
}

// Doubles serve tests of the mathematics, so they are exact, not fast.
inline __m256d Tanh(__m256d x) {
  return TanhOf<Simd<double>>(x);
}
inline __m256d Sigmoid(__m256d x) {
  for (int i = 0; i < 4; ++i) x[i] = 1.0 / (1.0 + exact::Exp(-x[i]));
  return x;
}

}  // namespace mentor::kernels
