// Matrix products on one core with fixed bits. Every element of a product is one chain of fused
// multiply-adds in the order of the inner index, whatever the number of rows and their place in
// memory. A lifetime's numbers do not depend on its batch; a step computed alone equals the same
// step in bulk. Row-major, T = float or double. Pure; threads may share. For the signal network
// these products are faster than a BLAS (benchmarks `signal` and `outer_ppo`). A BLAS packs both
// operands in each call, which costs more than the arithmetic at the 5 to 30 rows of one step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <vector>

namespace mentor::kernels {

template <typename T>
struct CacheLineAllocator {
  using value_type = T;
  CacheLineAllocator() = default;
  template <typename U>
  CacheLineAllocator(const CacheLineAllocator<U>&) {}
  T* allocate(size_t n) {
    return static_cast<T*>(::operator new (n * sizeof(T), std::align_val_t{64}));
  }
  void deallocate(T* p, size_t) { ::operator delete (p, std::align_val_t{64}); }
  bool operator==(const CacheLineAllocator&) const { return true; }
};
template <typename T>
using AlignedVector = std::vector<T, CacheLineAllocator<T>>;

// A matrix [rows, columns] as the right operand, in zero-filled panels of two registers' width.
template <typename T>
class PackedMatrix {
 public:
  static constexpr int64_t kPanel = 64 / sizeof(T);

  void Resize(int64_t rows, int64_t columns);
  // Element (row, column + i) = source[i] for i < count.
  void SetRow(int64_t row, int64_t column, const T* source, int64_t count);
  // Columns [column, column + count) become the rows of weights [count, rows()], whose rows are
  // `stride` apart.
  void SetTransposed(int64_t column, const T* weights, int64_t stride, int64_t count);

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  const T* panel(int64_t index) const { return data_.data() + index * rows_ * kPanel; }

 private:
  int64_t rows_ = 0, columns_ = 0;
  AlignedVector<T> data_;
};

// c [rows, b.columns()] = bias + a [rows, b.rows()] b, with bias in every row; a null bias adds
// none.
template <typename T>
void Multiply(const T* a, int64_t a_stride, int64_t rows, const PackedMatrix<T>& b, const T* bias,
              T* c, int64_t c_stride);

// out[r * out_stride] = bias + a[r, :] . w, r < rows.
template <typename T>
void Dot(const T* a, int64_t a_stride, int64_t rows, const T* w, int64_t size, T bias, T* out,
         int64_t out_stride);

// Gradients of weights: dw [y_columns, x_columns] += y^T x, and db += column sums of y (unless
// null), for blocks of rows of y [rows, y_columns] and x [rows, x_columns]. Keeps scratch memory;
// each thread needs its own.
template <typename T>
class WeightGradient {
 public:
  static constexpr int64_t kRows = 96;  // Rows of a block; it fixes the order of sums.
  void Add(const T* y, int64_t y_stride, int64_t y_columns, const T* x, int64_t x_stride,
           int64_t x_columns, int64_t rows, T* dw, int64_t dw_stride, T* db);

 private:
  AlignedVector<T> packed_y_, packed_x_;
};

}  // namespace mentor::kernels
