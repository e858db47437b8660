#include "kernels/matrix_kernels.h"

#include "kernels/isa.h"

namespace mentor::kernels {
namespace {

namespace avx2 {
#include "kernels/elementary.inc"
#include "kernels/matrix_tiles.inc"
}  // namespace avx2

#if MENTOR_HAVE_AVX512
MENTOR_AVX512_BEGIN
namespace avx512 {
#include "kernels/elementary.inc"
#include "kernels/matrix_tiles.inc"
}  // namespace avx512
MENTOR_AVX512_END
#endif

}  // namespace

template <Left kLeft, Then kThen, typename T>
void Multiply(int64_t rows, int64_t columns, int64_t k_size, Matrix<const T> a, Matrix<const T> b,
              const T* bias, Matrix<T> c) {
#if MENTOR_HAVE_AVX512
  if constexpr (sizeof(T) == sizeof(float)) {
    if (CurrentIsa() == Isa::kAvx512)
      return avx512::MultiplyOf<Simd512, kLeft, kThen>(rows, columns, k_size, a, b, bias, c);
  }
#endif
  avx2::MultiplyOf<Simd<T>, kLeft, kThen>(rows, columns, k_size, a, b, bias, c);
}

#define MENTOR_MULTIPLY(left, then, T)                                                          \
  template void Multiply<Left::left, Then::then, T>(int64_t, int64_t, int64_t, Matrix<const T>, \
                                                    Matrix<const T>, const T*, Matrix<T>)
MENTOR_MULTIPLY(kRows, kBiasTanh, float);
MENTOR_MULTIPLY(kRows, kBias, float);
MENTOR_MULTIPLY(kRows, kTanhGrad, float);
MENTOR_MULTIPLY(kRows, kBiasTanhGrad, float);
MENTOR_MULTIPLY(kColumns, kStore, float);
MENTOR_MULTIPLY(kRows, kBiasTanh, double);
MENTOR_MULTIPLY(kRows, kBias, double);
MENTOR_MULTIPLY(kRows, kTanhGrad, double);
MENTOR_MULTIPLY(kRows, kBiasTanhGrad, double);
MENTOR_MULTIPLY(kColumns, kStore, double);
#undef MENTOR_MULTIPLY

}  // namespace mentor::kernels
