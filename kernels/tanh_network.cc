#include "kernels/tanh_network.h"

#include <algorithm>

#include "common/check.h"
#include "common/pause_point.h"

namespace mentor::kernels {
namespace {

int64_t RoundUp(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

template <typename T>
Matrix<const T> CopyRows(int64_t rows, int64_t columns, Matrix<const T> from, Matrix<T> to) {
  for (int64_t m = 0; m < rows; ++m)
    std::copy_n(from.data + m * from.stride, columns, to.data + m * to.stride);
  return {to.data, to.stride};
}

// Called between two products, which take milliseconds in large networks. Cancellation is checked
// between minibatches.
void LetOthers() {
  static_cast<void>(PausePoint());
}

template <typename T>
int64_t OutStride(const TanhSizes& sizes) {
  return RoundUp(sizes.out, Simd<T>::kWidth);
}

}  // namespace

// Whole registers, and never a multiple of 128 bytes. Otherwise the rows of one tile column compete
// for a few sets of the first-level cache.
template <typename T>
int64_t RowStride(int64_t n) {
  const int64_t stride = RoundUp(n, Simd<T>::kWidth);
  return stride * sizeof(T) % 128 == 0 ? stride + 64 / sizeof(T) : stride;
}

template <typename T>
TanhRows<T>::TanhRows(const TanhSizes& sizes, int64_t rows)
    : hidden_stride(RowStride<T>(sizes.hidden)),
      out_stride(OutStride<T>(sizes)),
      h1(rows * hidden_stride),
      h2(rows * hidden_stride),
      y(rows * out_stride),
      dy(rows * out_stride) {}

template <typename T>
TanhTangents<T>::TanhTangents(const TanhSizes& sizes, int64_t rows)
    : stride(RowStride<T>(2 * RowStride<T>(sizes.hidden))),
      out_stride(OutStride<T>(sizes)),
      h1(rows * stride),
      h2(rows * stride),
      dy(rows * out_stride),
      dw1t(sizes.in * RowStride<T>(sizes.hidden)),
      w2t(2 * RowStride<T>(sizes.hidden) * RowStride<T>(sizes.hidden)),
      w3t(2 * RowStride<T>(sizes.hidden) * out_stride),
      db1(RowStride<T>(sizes.hidden)),
      db2(RowStride<T>(sizes.hidden)),
      db3(out_stride) {}

template <typename T>
TanhNetwork<T>::TanhNetwork(const TanhSizes& sizes)
    : sizes_(sizes),
      hidden_stride_(RowStride<T>(sizes.hidden)),
      out_stride_(OutStride<T>(sizes)),
      b1_(sizes.hidden * sizes.in),
      w2_(b1_ + sizes.hidden),
      b2_(w2_ + sizes.hidden * sizes.hidden),
      w3_(b2_ + sizes.hidden),
      b3_(w3_ + sizes.out * sizes.hidden),
      w1t_(sizes.in * hidden_stride_),
      w2t_(sizes.hidden * hidden_stride_),
      w3t_(sizes.hidden * out_stride_),
      bias1_(hidden_stride_),
      bias2_(hidden_stride_),
      bias3_(out_stride_) {
  MENTOR_CHECK(sizes.in > 0 && sizes.hidden > 0 && sizes.out > 0);
  if (sizes.hidden % Simd<T>::kWidth != 0) {
    w2_rows_.resize(sizes.hidden * hidden_stride_);
    w3_rows_.resize(sizes.out * hidden_stride_);
  }
}

template <typename T>
void TanhNetwork<T>::Load(const T* theta) {
  const auto& [in, hidden, out, bounded] = sizes_;
  Transpose<T>(hidden, in, {theta, in}, {w1t_.data(), hidden_stride_});
  Transpose<T>(hidden, hidden, {theta + w2_, hidden}, {w2t_.data(), hidden_stride_});
  Transpose<T>(out, hidden, {theta + w3_, hidden}, {w3t_.data(), out_stride_});
  std::copy_n(theta + b1_, hidden, bias1_.data());
  std::copy_n(theta + b2_, hidden, bias2_.data());
  std::copy_n(theta + b3_, out, bias3_.data());
  w2_of_ = {theta + w2_, hidden};
  w3_of_ = {theta + w3_, hidden};
  if (!w2_rows_.empty()) {
    w2_of_ = CopyRows<T>(hidden, hidden, w2_of_, {w2_rows_.data(), hidden_stride_});
    w3_of_ = CopyRows<T>(out, hidden, w3_of_, {w3_rows_.data(), hidden_stride_});
  }
}

template <typename T>
void TanhNetwork<T>::Forward(Matrix<const T> inputs, int64_t rows, TanhRows<T>* x) const {
  const int64_t hs = hidden_stride_, hidden = sizes_.hidden;
  const Matrix<const T> w3t = {w3t_.data(), out_stride_};
  Multiply<Left::kRows, Then::kBiasTanh, T>(rows, hidden, sizes_.in, inputs, {w1t_.data(), hs},
                                            bias1_.data(), {x->h1.data(), hs});
  LetOthers();
  Multiply<Left::kRows, Then::kBiasTanh, T>(rows, hidden, hidden, {x->h1.data(), hs},
                                            {w2t_.data(), hs}, bias2_.data(), {x->h2.data(), hs});
  if (sizes_.bounded) {
    Multiply<Left::kRows, Then::kBiasTanh, T>(rows, sizes_.out, hidden, {x->h2.data(), hs}, w3t,
                                              bias3_.data(), {x->y.data(), out_stride_});
  } else {
    Multiply<Left::kRows, Then::kBias, T>(rows, sizes_.out, hidden, {x->h2.data(), hs}, w3t,
                                          bias3_.data(), {x->y.data(), out_stride_});
  }
}

template <typename T>
void TanhNetwork<T>::Backward(Matrix<const T> inputs, int64_t rows, TanhRows<T>* x, T* grad) const {
  const int64_t hs = hidden_stride_, os = out_stride_, hidden = sizes_.hidden;
  // Output layer.
  Multiply<Left::kColumns, Then::kStore, T>(sizes_.out, hidden, rows, {x->dy.data(), os},
                                            {x->h2.data(), hs}, nullptr, {grad + w3_, hidden});
  SumRows<T>(rows, sizes_.out, {x->dy.data(), os}, grad + b3_);
  // Second hidden layer: h2 becomes its gradient before the tanh.
  Multiply<Left::kRows, Then::kTanhGrad, T>(rows, hidden, sizes_.out, {x->dy.data(), os}, w3_of_,
                                            nullptr, {x->h2.data(), hs});
  LetOthers();
  Multiply<Left::kColumns, Then::kStore, T>(hidden, hidden, rows, {x->h2.data(), hs},
                                            {x->h1.data(), hs}, nullptr, {grad + w2_, hidden});
  SumRows<T>(rows, hidden, {x->h2.data(), hs}, grad + b2_);
  // First hidden layer.
  LetOthers();
  Multiply<Left::kRows, Then::kTanhGrad, T>(rows, hidden, hidden, {x->h2.data(), hs}, w2_of_,
                                            nullptr, {x->h1.data(), hs});
  Multiply<Left::kColumns, Then::kStore, T>(hidden, sizes_.in, rows, {x->h1.data(), hs}, inputs,
                                            nullptr, {grad, sizes_.in});
  SumRows<T>(rows, hidden, {x->h1.data(), hs}, grad + b1_);
}

template <typename T>
void TanhNetwork<T>::Keep(const TanhRows<T>& x, int64_t rows, TanhTangents<T>* kept) const {
  const int64_t hs = hidden_stride_;
  for (int64_t m = 0; m < rows; ++m) {
    // The first half becomes the derivatives, by way of the tanh.
    for (int64_t half : {int64_t{0}, hs}) {
      std::copy_n(&x.h1[m * hs], sizes_.hidden, &kept->h1[m * kept->stride + half]);
      std::copy_n(&x.h2[m * hs], sizes_.hidden, &kept->h2[m * kept->stride + half]);
    }
  }
}

// With h = tanh(z): dz1 = dW1 x + db1, dz2 = W2 dh1 + dW2 h1 + db2, dy = W3 dh2 + dW3 h2 + db3, and
// dh = dz (1 - h^2). Two sums are one product of double length.
template <typename T>
void TanhNetwork<T>::Tangents(const T* direction, Matrix<const T> inputs, int64_t rows,
                              TanhTangents<T>* kept) const {
  MENTOR_CHECK(!sizes_.bounded);
  const auto& [in, hidden, out, bounded] = sizes_;
  const int64_t hs = hidden_stride_, os = out_stride_, stride = kept->stride;
  Transpose<T>(hidden, in, {direction, in}, {kept->dw1t.data(), hs});
  std::copy_n(w2t_.data(), hidden * hs, kept->w2t.data());
  Transpose<T>(hidden, hidden, {direction + w2_, hidden}, {&kept->w2t[hs * hs], hs});
  std::copy_n(w3t_.data(), hidden * os, kept->w3t.data());
  Transpose<T>(out, hidden, {direction + w3_, hidden}, {&kept->w3t[hs * os], os});
  std::copy_n(direction + b1_, hidden, kept->db1.data());
  std::copy_n(direction + b2_, hidden, kept->db2.data());
  std::copy_n(direction + b3_, out, kept->db3.data());
  Multiply<Left::kRows, Then::kBiasTanhGrad, T>(rows, hidden, in, inputs, {kept->dw1t.data(), hs},
                                                kept->db1.data(), {kept->h1.data(), stride});
  LetOthers();
  Multiply<Left::kRows, Then::kBiasTanhGrad, T>(rows, hidden, hs + hidden,
                                                {kept->h1.data(), stride}, {kept->w2t.data(), hs},
                                                kept->db2.data(), {kept->h2.data(), stride});
  Multiply<Left::kRows, Then::kBias, T>(rows, out, hs + hidden, {kept->h2.data(), stride},
                                        {kept->w3t.data(), os}, kept->db3.data(),
                                        {kept->dy.data(), os});
}

template int64_t RowStride<float>(int64_t);
template int64_t RowStride<double>(int64_t);
template struct TanhRows<float>;
template struct TanhRows<double>;
template struct TanhTangents<float>;
template struct TanhTangents<double>;
template class TanhNetwork<float>;
template class TanhNetwork<double>;

}  // namespace mentor::kernels
