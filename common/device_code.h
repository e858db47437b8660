// Lets one source be plain C++ on the host and device code under nvcc. Arithmetic is IEEE in both
// as long as nothing is contracted: -ffp-contract=off on the host; -fmad=false -ftz=false
// -prec-div=true -prec-sqrt=true under nvcc. A product and a sum are fused only where the code says
// fma. Pure; threads may share.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define MENTOR_HD __host__ __device__ __forceinline__
#define MENTOR_UNROLL _Pragma("unroll")
#define MENTOR_PRAGMA(x) _Pragma(#x)
#define MENTOR_UNROLL_BY(n) MENTOR_PRAGMA(unroll n)
#else
#define MENTOR_HD inline
#define MENTOR_UNROLL _Pragma("GCC unroll 64")
#define MENTOR_UNROLL_BY(n)
#endif

namespace mentor {

template <typename T>
struct alignas(16) Four {
  T x[4];
};
// p must be aligned to 16 bytes.
template <typename T>
MENTOR_HD Four<T> Load4(const T* p) {
  return *static_cast<const Four<T>*>(__builtin_assume_aligned(p, 16));
}
template <typename T>
MENTOR_HD void Store4(T* p, const Four<T>& v) {
  *static_cast<Four<T>*>(__builtin_assume_aligned(p, 16)) = v;
}

MENTOR_HD float FloatOfBits(uint32_t bits) {
#ifdef __CUDA_ARCH__
  return __uint_as_float(bits);
#else
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
#endif
}
MENTOR_HD double DoubleOfBits(uint64_t bits) {
#ifdef __CUDA_ARCH__
  return __longlong_as_double(static_cast<long long>(bits));
#else
  double x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
#endif
}

// minps and maxps of x86: return the second operand if one is NaN or both are equal. fminf differs.
template <typename T>
MENTOR_HD T MinOrSecond(T a, T b) {
  return a < b ? a : b;
}
template <typename T>
MENTOR_HD T MaxOrSecond(T a, T b) {
  return a > b ? a : b;
}

}  // namespace mentor
