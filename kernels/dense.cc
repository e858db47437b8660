#include "kernels/dense.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "kernels/isa.h"
#include "kernels/lanes.h"

namespace mentor::kernels {
namespace {

namespace avx2 {
#include "kernels/dense_tiles.inc"
}  // namespace avx2

#if MENTOR_HAVE_AVX512
MENTOR_AVX512_BEGIN
namespace avx512 {
#include "kernels/dense_tiles.inc"
}  // namespace avx512
MENTOR_AVX512_END
#endif

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
#if MENTOR_HAVE_AVX512
  if constexpr (sizeof(T) == sizeof(float)) {
    if (CurrentIsa() == Isa::kAvx512)
      return avx512::MultiplyOf<Simd512>(a, a_stride, rows, b, bias, c, c_stride);
  }
#endif
  avx2::MultiplyOf<Simd<T>>(a, a_stride, rows, b, bias, c, c_stride);
}

template <typename T>
void Dot(const T* a, int64_t a_stride, int64_t rows, const T* w, int64_t size, T bias, T* out,
         int64_t out_stride) {
  constexpr int kWidth = kLanes<T>;
  const int64_t whole = size / kWidth * kWidth;
  const auto rest = Simd<T>::First(size - whole);
  for (int64_t r = 0; r < rows; ++r) {
    const T* row = a + r * a_stride;
    Lanes<T> sum = Fill(T(0));
    for (int64_t k = 0; k < whole; k += kWidth) sum = Fma(Load(row + k), Load(w + k), sum);
    if (whole < size)
      sum = Fma(Simd<T>::LoadSome(row + whole, rest), Simd<T>::LoadSome(w + whole, rest), sum);
    T total = bias;
    for (int i = 0; i < kWidth; ++i) total += sum[i];
    out[r * out_stride] = total;
  }
}

template <typename T>
void WeightGradient<T>::Add(const T* y, int64_t y_stride, int64_t y_columns, const T* x,
                            int64_t x_stride, int64_t x_columns, int64_t rows, T* dw,
                            int64_t dw_stride, T* db) {
  for (int64_t block = 0; block < rows; block += kRows) {
    const auto add = [&](auto&& add_block) {
      add_block(y + block * y_stride, y_stride, y_columns, x + block * x_stride, x_stride,
                x_columns, std::min(kRows, rows - block), dw, dw_stride, db, &packed_y_,
                &packed_x_);
    };
#if MENTOR_HAVE_AVX512
    if constexpr (sizeof(T) == sizeof(float)) {
      if (CurrentIsa() == Isa::kAvx512) {
        add(avx512::AddBlock<Simd512, T>);
        continue;
      }
    }
#endif
    add(avx2::AddBlock<Simd<T>, T>);
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

}  // namespace mentor::kernels
