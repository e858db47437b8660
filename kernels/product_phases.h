// Matrix products, dot products and sums of columns as phases, in the order of sums of dense.h: the
// same bits. A kernel takes a table of independent jobs; a job may be a batch of equal shapes.
// Pure; threads may share.
#pragma once

#include <cstdint>

#include "common/device_code.h"
#include "kernels/phases.h"
#include "kernels/scalar.h"

namespace mentor::kernels {

MENTOR_HD constexpr int64_t CeilDiv(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// A few jobs, each for some clusters.
template <class Job, int most>
struct Jobs {
  Job jobs[most];
  int count = 0;

  void Add(const Job& job) { jobs[count++] = job; }
  int64_t Clusters() const {
    int64_t clusters = 0;
    for (int i = 0; i < count; ++i) clusters += jobs[i].Clusters();
    return clusters;
  }
  // The job of a cluster. *cluster becomes the cluster's number within the job.
  MENTOR_HD const Job& Find(int64_t* cluster) const {
    int i = 0;
    for (; *cluster >= jobs[i].Clusters(); ++i) *cluster -= jobs[i].Clusters();
    return jobs[i];
  }
};

template <typename T>
struct Product {
  enum class After { kNothing, kTanh, kRelu, kTanhDerivative, kWherePositive };

  static constexpr int kTile = 64;

  // c(r, j) = the sum over k of a(r, k) b(k, j), one chain in the order of k.
  int64_t rows = 0, columns = 0, inner = 0;
  const T* a = nullptr;
  int64_t a_row = 0, a_k = 1;  // Distances of neighbours.
  const T* b = nullptr;
  int64_t b_k = 1, b_column = 0;
  T* c = nullptr;
  int64_t c_row = 0;
  // A chain begins with the bias of its column, or with the sum of two; with zero when null.
  const T *bias = nullptr, *bias2 = nullptr;
  bool continued = false;  // Chains begin with c instead.
  // Chains of this many k begin with zero and are added to c = 0 one after another; 0: one chain
  // for all.
  int64_t block = 0;
  After after = After::kNothing;
  // kWherePositive: the result is kept where this is positive; elsewhere it is 0.
  const T* gate = nullptr;
  int64_t gate_row = 0;
  int64_t batches = 1;
  int64_t a_batch = 0, b_batch = 0, c_batch = 0;  // Distances of neighbours.

  MENTOR_HD int64_t TilesOfRows() const { return CeilDiv(rows, kTile); }
  MENTOR_HD int64_t TilesOfColumns() const { return CeilDiv(columns, kTile); }
  MENTOR_HD int64_t Clusters() const { return TilesOfRows() * TilesOfColumns() * batches; }
};

// A cluster makes a tile of 64 by 64 elements, a thread 4 by 4 of them.
template <typename T>
struct ProductKernel {
  using After = typename Product<T>::After;
  static constexpr int kThreads = 256, kRanks = 1;
  static constexpr int kTile = Product<T>::kTile, kPart = 4, kSlice = 16;

  struct Shared {
    // Padded, so that neighbouring k lie in different banks.
    alignas(16) T a[kSlice][kTile + kPart];
    alignas(16) T b[kSlice][kTile + kPart];
  };
  static constexpr int kEach = kSlice * kTile / kThreads;
  struct Registers {
    T sum[kPart][kPart], total[kPart][kPart];
    // Numbers of the next slice, loaded while this one is multiplied.
    T a[kEach], b[kEach];
  };

  Jobs<Product<T>, 14> products;

  int64_t Clusters() const { return products.Clusters(); }

  template <class Run>
  MENTOR_HD void Phases(int64_t cluster, const Run& run) const {
    const Product<T>& p = products.Find(&cluster);
    const int64_t tiles = p.TilesOfRows() * p.TilesOfColumns();
    const int64_t batch = cluster / tiles, tile = cluster % tiles;
    const int64_t row0 = tile / p.TilesOfColumns() * kTile;
    const int64_t column0 = tile % p.TilesOfColumns() * kTile;
    const int64_t inner = p.inner, rows = p.rows - row0, columns = p.columns - column0;
    const T* a = p.a + batch * p.a_batch + row0 * p.a_row;
    const T* b = p.b + batch * p.b_batch + column0 * p.b_column;
    T* c = p.c + batch * p.c_batch + row0 * p.c_row + column0;

    const auto fetch = [&](const auto& thread, int64_t k0) {
      Fetch(thread.tid, a + k0 * p.a_k, p.a_row, p.a_k, rows, inner - k0, thread.own.a);
      Fetch(thread.tid, b + k0 * p.b_k, p.b_column, p.b_k, columns, inner - k0, thread.own.b);
    };
    run.Block([&](const auto& thread) {
      fetch(thread, 0);
      ForPart(thread.tid, rows, columns, [&](int i, int j, int64_t row, int64_t column, bool in) {
        T start = 0;
        if (in && p.continued) start = c[row * p.c_row + column];
        if (in && p.bias) start = p.bias[column0 + column];
        if (in && p.bias2) start += p.bias2[column0 + column];
        thread.own.sum[i][j] = start;
        thread.own.total[i][j] = 0;
      });
    });
    for (int64_t k0 = 0; k0 < inner; k0 += kSlice) {
      const int slice = static_cast<int>(inner - k0 < kSlice ? inner - k0 : kSlice);
      run.Block([&](const auto& thread) {
        MENTOR_UNROLL for (int e = 0; e < kEach; ++e) {
          const Place a_place(thread.tid, e, p.a_k), b_place(thread.tid, e, p.b_k);
          thread.shared().a[a_place.k][a_place.line] = thread.own.a[e];
          thread.shared().b[b_place.k][b_place.line] = thread.own.b[e];
        }
      });
      const bool ends = p.block > 0 && ((k0 + slice) % p.block == 0 || k0 + slice == inner);
      run.Block([&](const auto& thread) {
        if (k0 + kSlice < inner) fetch(thread, k0 + kSlice);
        Multiply(thread.tid, slice, thread.shared(), thread.own.sum);
        if (ends) {
          MENTOR_UNROLL for (int i = 0; i < kPart; ++i) {
            MENTOR_UNROLL for (int j = 0; j < kPart; ++j) {
              thread.own.total[i][j] += thread.own.sum[i][j];
              thread.own.sum[i][j] = 0;
            }
          }
        }
      });
    }
    run.Block([&](const auto& thread) {
      ForPart(thread.tid, rows, columns, [&](int i, int j, int64_t row, int64_t column, bool in) {
        if (!in) return;
        T& to = c[row * p.c_row + column];
        const T x = p.block > 0 ? thread.own.total[i][j] : thread.own.sum[i][j];
        switch (p.after) {
          case After::kNothing:
            to = x;
            break;
          case After::kTanh:
            to = scalar::Tanh(x);
            break;
          case After::kRelu:
            to = MaxOrSecond(T(0), x);
            break;
          case After::kTanhDerivative:
            to = x * (T(1) - to * to);
            break;
          case After::kWherePositive:
            to = p.gate[(row0 + row) * p.gate_row + column0 + column] > 0 ? x : T(0);
            break;
        }
      });
    });
  }

  // Calls f(i, j, row, column of the tile, whether they exist) for the elements of a thread.
  template <class F>
  MENTOR_HD static void ForPart(int tid, int64_t rows, int64_t columns, F&& f) {
    const int row = tid / 16 * kPart, column = tid % 16 * kPart;
    MENTOR_UNROLL for (int i = 0; i < kPart; ++i) {
      MENTOR_UNROLL for (int j = 0; j < kPart; ++j)
          f(i, j, row + i, column + j, row + i < rows && column + j < columns);
    }
  }
  // The part of a slice that a thread loads: neighbouring threads read neighbouring numbers.
  struct Place {
    MENTOR_HD Place(int tid, int e, int64_t k_distance) {
      const int i = tid + e * kThreads;
      k = k_distance == 1 ? i % kSlice : i / kTile;
      line = k_distance == 1 ? i / kSlice : i % kTile;
    }
    int k, line;
  };
  // Rows past the end read as 0; their results are discarded.
  MENTOR_HD static void Fetch(int tid, const T* from, int64_t line_distance, int64_t k_distance,
                              int64_t lines, int64_t inner, T (&to)[kEach]) {
    MENTOR_UNROLL for (int e = 0; e < kEach; ++e) {
      const Place place(tid, e, k_distance);
      to[e] = place.k < inner && place.line < lines
                  ? from[place.line * line_distance + place.k * k_distance]
                  : T(0);
    }
  }
  // k is never padded: a further fma(0, 0, sum) would turn a sum of -0 into +0.
  MENTOR_HD static void Multiply(int tid, int slice, const Shared& s, T (&sum)[kPart][kPart]) {
    const int row = tid / 16 * kPart, column = tid % 16 * kPart;
    for (int k = 0; k < slice; ++k) {
      const Four<T> left = Load4(&s.a[k][row]), right = Load4(&s.b[k][column]);
      MENTOR_UNROLL for (int i = 0; i < kPart; ++i) {
        MENTOR_UNROLL for (int j = 0; j < kPart; ++j) sum[i][j] =
            scalar::Fma(left.x[i], right.x[j], sum[i][j]);
      }
    }
  }
};

// Dot() of dense.h: as many chains as a CPU register has lanes; the last is padded.
template <typename T>
inline constexpr int kDotLanes = 32 / sizeof(T);
template <typename T>
MENTOR_HD T DotLane(const T* a, const T* w, int64_t size, int lane) {
  T sum = 0;
  int64_t k = lane;
  for (; k < size; k += kDotLanes<T>) sum = scalar::Fma(a[k], w[k], sum);
  if (size % kDotLanes<T> != 0 && lane >= size % kDotLanes<T>) sum = scalar::Fma(T(0), T(0), sum);
  return sum;
}
template <typename T>
MENTOR_HD T SumOfLanes(T bias, const T* lanes) {
  MENTOR_UNROLL for (int i = 0; i < kDotLanes<T>; ++i) bias += lanes[i];
  return bias;
}

// out[r * out_distance] = *bias + a[r, :] . w
template <typename T>
struct RowDots {
  static constexpr int kRows = 128 / kDotLanes<T>;  // Rows of a cluster.

  int64_t rows = 0, size = 0;
  const T* a = nullptr;
  int64_t a_row = 0;
  const T *w = nullptr, *bias = nullptr;
  T* out = nullptr;
  // Distances between batches of one size; the rows of a follow one another.
  int64_t batches = 1, out_batch = 0;

  MENTOR_HD int64_t Clusters() const { return CeilDiv(rows * batches, kRows); }
};

template <typename T>
struct RowDotsKernel {
  static constexpr int kThreads = 128, kRanks = 1, kRows = RowDots<T>::kRows;
  struct Shared {
    T lanes[kRows][kDotLanes<T>];
  };
  struct Registers {};

  Jobs<RowDots<T>, 3> dots;

  int64_t Clusters() const { return dots.Clusters(); }

  template <class Run>
  MENTOR_HD void Phases(int64_t cluster, const Run& run) const {
    const RowDots<T>& d = dots.Find(&cluster);
    const int64_t row0 = cluster * kRows, rows = d.rows * d.batches - row0;
    run.Block([&](const auto& thread) {
      const int row = thread.tid / kDotLanes<T>, lane = thread.tid % kDotLanes<T>;
      if (row < rows)
        thread.shared().lanes[row][lane] = DotLane(d.a + (row0 + row) * d.a_row, d.w, d.size, lane);
    });
    run.Block([&](const auto& thread) {
      if (thread.tid >= kRows || thread.tid >= rows) return;
      const int64_t row = row0 + thread.tid;
      d.out[row / d.rows * d.out_batch + row % d.rows] =
          SumOfLanes(*d.bias, thread.shared().lanes[thread.tid]);
    });
  }
};

// to[j] = the sum over rows of y[:, j], row by row from 0.
template <typename T>
struct ColumnSums {
  static constexpr int kThreads = 32;  // Few, so that long chains spread over the device.

  int64_t rows = 0, columns = 0;
  const T* y = nullptr;
  int64_t y_row = 0;
  T *to = nullptr, *to2 = nullptr;  // Null: nowhere.
  int64_t batches = 1;
  int64_t y_batch = 0, to_batch = 0;

  MENTOR_HD int64_t Clusters() const { return CeilDiv(columns, kThreads) * batches; }
};

template <typename T>
struct ColumnSumsKernel {
  static constexpr int kThreads = ColumnSums<T>::kThreads, kRanks = 1;
  struct Shared {};
  struct Registers {};

  Jobs<ColumnSums<T>, 20> sums;

  int64_t Clusters() const { return sums.Clusters(); }

  template <class Run>
  MENTOR_HD void Phases(int64_t cluster, const Run& run) const {
    const ColumnSums<T>& s = sums.Find(&cluster);
    const int64_t clusters = CeilDiv(s.columns, kThreads), batch = cluster / clusters;
    run.Block([&](const auto& thread) {
      const int64_t j = cluster % clusters * kThreads + thread.tid;
      if (j >= s.columns) return;
      const T* y = s.y + batch * s.y_batch + j;
      T sum = 0;
      MENTOR_UNROLL_BY(16)
      for (int64_t r = 0; r < s.rows; ++r) sum += y[r * s.y_row];
      if (s.to) s.to[batch * s.to_batch + j] = sum;
      if (s.to2) s.to2[batch * s.to_batch + j] = sum;
    });
  }
};

// Calls f(i) for all i < count, each in its own thread.
template <class F>
struct ForEachKernel {
  static constexpr int kThreads = 256, kRanks = 1;
  struct Shared {};
  struct Registers {};

  int64_t count;
  F f;

  int64_t Clusters() const { return CeilDiv(count, kThreads); }

  template <class Run>
  MENTOR_HD void Phases(int64_t cluster, const Run& run) const {
    run.Block([&](const auto& thread) {
      const int64_t i = cluster * kThreads + thread.tid;
      if (i < count) f(i);
    });
  }
};

}  // namespace mentor::kernels
