// The LSTM signal network along a segment as phases, with a cluster for each lifetime: the bits of
// lstm_run.h. Default sizes run on four blocks, whose threads keep the gates' weights in registers
// and all others in shared memory. Other sizes run on one block with everything in global memory.
// Pure; threads may share.
#pragma once

#include <cstdint>

#include "common/device_code.h"
#include "kernels/lstm_cell.h"
#include "kernels/lstm_weights.h"
#include "kernels/phases.h"
#include "kernels/product_phases.h"
#include "kernels/scalar.h"
#include "kernels/signal_distribution.h"

namespace mentor::signals {

// sum + x . w, one chain. Aligned: both to 16 bytes.
template <bool aligned, typename T>
MENTOR_HD T Chain(T sum, const T* x, const T* w, int64_t n) {
  const int64_t fours = aligned ? n / 4 * 4 : 0;
  MENTOR_UNROLL_BY(4)
  for (int64_t k = 0; k < fours; k += 4) {
    const Four<T> left = Load4(x + k), right = Load4(w + k);
    MENTOR_UNROLL for (int i = 0; i < 4; ++i) sum =
        kernels::scalar::Fma(left.x[i], right.x[i], sum);
  }
  for (int64_t k = fours; k < n; ++k) sum = kernels::scalar::Fma(x[k], w[k], sum);
  return sum;
}
// The same with n weights in registers; x is aligned.
template <int n, typename T>
MENTOR_HD T ChainOfRegisters(T sum, const T* x, const T* w) {
  MENTOR_UNROLL for (int k = 0; k < n / 4 * 4; k += 4) {
    const Four<T> left = Load4(x + k);
    MENTOR_UNROLL for (int i = 0; i < 4; ++i) sum = kernels::scalar::Fma(left.x[i], w[k + i], sum);
  }
  MENTOR_UNROLL for (int k = n / 4 * 4; k < n; ++k) sum = kernels::scalar::Fma(x[k], w[k], sum);
  return sum;
}

// Hands out arrays of T one after another, each aligned to 16 bytes.
struct Offsets {
  int64_t end = 0;

  MENTOR_HD constexpr int64_t Take(int64_t size) {
    const int64_t at = end;
    end += (size + 3) / 4 * 4;
    return at;
  }
};

// Shared memory or registers; empty for n = 0.
template <typename T, int64_t n>
struct Numbers {
  alignas(16) T x[n];
};
template <typename T>
struct Numbers<T, 0> {};

// The clusters that step through time.
template <class Sizes>
struct LstmCluster {
  static constexpr bool kFixed = Sizes::kFixed;
  static constexpr int kRanks = kFixed ? 4 : 1, kThreads = kFixed ? 128 : 256;

  // Arrays of this thread's rank, and of any rank, at the places of its Layout: in shared memory or
  // at `scratch`.
  template <class Thread, typename T>
  MENTOR_HD static T* Own(const Thread& thread, T* scratch) {
    if constexpr (kFixed) {
      return thread.shared().x;
    } else {
      return scratch;
    }
  }
  template <class Thread, typename T>
  MENTOR_HD static T* Of(const Thread& thread, int rank, T* scratch) {
    if constexpr (kFixed) {
      return thread.of[rank]->x;
    } else {
      return scratch;
    }
  }

  // Units of a rank. Its gates are i, f, g and o of its units.
  MENTOR_HD static constexpr int64_t Units(const Sizes& s) { return s.hidden / kRanks; }
  // The row of a rank's gate i among the whole network's 4 H gates.
  MENTOR_HD static constexpr int64_t GateRow(const Sizes& s, int rank, int64_t i) {
    return i / Units(s) * s.hidden + rank * Units(s) + i % Units(s);
  }
};

// Places of a rank's arrays in acting.
template <typename T, class Sizes>
struct LstmRunLayout {
  using Cluster = LstmCluster<Sizes>;
  static constexpr bool kFixed = Cluster::kFixed;
  static constexpr int kRanks = Cluster::kRanks;

  Offsets all;
  int64_t enc1_previous, enc2_b, gates_b, first_b, second_b, mean3, logstd2;  // Weights.
  int64_t input;  // One step's: enc1 without the previous signal; side inputs; noise.
  int64_t code1, z, gates, c;
  int64_t h, h_stride;    // [2]: by parity of the step; for all units.
  int64_t first, second;  // Hidden layers of the policy heads, for all units.
  int64_t lanes, previous;
  int64_t enc2_stride, first_stride, second_stride;
  int64_t enc2_w, first_w, second_w;

  MENTOR_HD constexpr explicit LstmRunLayout(const Sizes& s)
      : enc1_previous(all.Take(s.enc1)),
        enc2_b(all.Take(s.enc2)),
        gates_b(all.Take(4 * Cluster::Units(s))),
        first_b(all.Take(2 * s.heads / kRanks)),
        second_b(all.Take(s.heads / kRanks)),
        mean3(all.Take(s.heads)),
        logstd2(all.Take(s.heads)),
        input(all.Take(s.enc1 + s.side + 1)),
        code1(all.Take(s.code1())),
        z(all.Take(s.code2())),
        gates(all.Take(4 * Cluster::Units(s))),
        c(all.Take(s.hidden)),
        h(all.Take(s.hidden)),
        h_stride(all.Take(s.hidden) - h),
        first(all.Take(2 * s.heads)),
        second(all.Take(s.heads)),
        lanes(all.Take(2 * kernels::kDotLanes<T>)),
        previous(all.Take(1)),
        enc2_stride(Stride(s.code1())),
        first_stride(Stride(s.hidden)),
        second_stride(Stride(s.heads)),
        enc2_w(all.Take(kFixed ? s.enc2 * enc2_stride : 0)),
        first_w(all.Take(kFixed ? 2 * s.heads / kRanks * first_stride : 0)),
        second_w(all.Take(kFixed ? s.heads / kRanks * second_stride : 0)) {}

  // An odd number of fours: neighbouring rows lie in different banks.
  MENTOR_HD static constexpr int64_t Stride(int64_t n) { return ((n + 3) / 4 | 1) * 4; }
};

template <typename T, class Sizes>
struct LstmRunKernel {
  using Cluster = LstmCluster<Sizes>;
  static constexpr bool kFixed = Sizes::kFixed;
  static constexpr int kRanks = Cluster::kRanks, kThreads = Cluster::kThreads;

  using Layout = LstmRunLayout<T, Sizes>;
  using Shared = Numbers<T, kFixed ? Layout(Sizes{}).all.end : 0>;
  struct Registers {
    Numbers<T, kFixed ? Sizes{}.joint() : 0> w;  // A row of [W_ih, W_hh].
  };

  Sizes sizes;
  kernels::LstmSlices<const T> w;
  int64_t lifetimes;
  int64_t steps, begin, count;  // Steps of the segment; the first to run; how many run.
  double log_initial_std;
  const T* enc1;  // [S, count, enc1]: before the previous signal and the activation
  // [S, count, 2 M]: the heads' first layers before h, biases included; null: the biases alone.
  const T* first;
  const T *features, *noise;
  T *h, *c, *previous;
  T *signals, *log_probs;
  T* states;   // [S, count, H], or null
  T* scratch;  // [S, Layout::all.end] unless the sizes are fixed

  int64_t Clusters() const { return lifetimes; }

  template <class Run>
  MENTOR_HD void Phases(int64_t lifetime, const Run& run) const {
    const Layout at(sizes);
    const int64_t units = Cluster::Units(sizes);
    const int64_t first_rows = 2 * sizes.heads / kRanks, second_rows = sizes.heads / kRanks;
    T* const mine = kFixed ? nullptr : scratch + lifetime * at.all.end;
    const int64_t inputs = sizes.enc1 + sizes.side;

    run.Block([&](const auto& thread) {
      T* m = Cluster::Own(thread, mine);
      LoadWeights(at, thread, m);
      for (int64_t j = thread.tid; j < sizes.hidden; j += kThreads)
        m[at.h + j] = h[lifetime * sizes.hidden + j];
      for (int64_t j = thread.tid; j < units; j += kThreads)
        m[at.c + j] = c[lifetime * sizes.hidden + thread.rank * units + j];
      if (thread.tid == 0) m[at.previous] = previous[lifetime];
      LoadInput(at, lifetime, 0, m, 0, thread.tid);
    });
    for (int64_t i = 0; i < count; ++i) {
      const int now = static_cast<int>(i % 2);
      const int64_t t = lifetime * steps + begin + i;
      run.Block([&](const auto& thread) {
        T* m = Cluster::Own(thread, mine);
        const T y = m[at.previous];
        for (int64_t j = thread.tid; j < sizes.enc1; j += kThreads) {
          const T sum = kernels::scalar::Fma(m[at.enc1_previous + j], y, m[at.input + j]);
          m[at.code1 + j] = MaxOrSecond(T(0), sum);
        }
        for (int64_t j = thread.tid; j < sizes.side; j += kThreads) {
          const T side = j < sizes.side - 1 ? m[at.input + sizes.enc1 + j] : y;
          m[at.code1 + sizes.enc1 + j] = m[at.z + sizes.enc2 + j] = side;
        }
      });
      run.Block([&](const auto& thread) {
        T* m = Cluster::Own(thread, mine);
        for (int64_t j = thread.tid; j < sizes.enc2; j += kThreads) {
          const T* row = kFixed ? m + at.enc2_w + j * at.enc2_stride : w.enc2_w + j * sizes.code1();
          const T sum = Chain<kFixed>(m[at.enc2_b + j], m + at.code1, row, sizes.code1());
          m[at.z + j] = MaxOrSecond(T(0), sum);
        }
      });
      run.Block([&](const auto& thread) {
        T* m = Cluster::Own(thread, mine);
        for (int64_t j = thread.tid; j < 4 * units; j += kThreads) {
          const int64_t row = Cluster::GateRow(sizes, thread.rank, j);
          T sum = m[at.gates_b + j];
          if constexpr (kFixed) {
            sum = ChainOfRegisters<Sizes::code2()>(sum, m + at.z, thread.own.w.x);
            sum = ChainOfRegisters<Sizes::hidden>(sum, m + at.h + now * at.h_stride,
                                                  thread.own.w.x + Sizes::code2());
          } else {
            sum = Chain<false>(sum, m + at.z, w.w_ih + row * sizes.code2(), sizes.code2());
            sum = Chain<false>(sum, m + at.h + now * at.h_stride, w.w_hh + row * sizes.hidden,
                               sizes.hidden);
          }
          m[at.gates + j] = kernels::ActivateGate(row, sizes.hidden, sum);
        }
      });
      run.Cluster([&](const auto& thread) {
        T* m = Cluster::Own(thread, mine);
        for (int64_t j = thread.tid; j < units; j += kThreads) {
          const T* gate = m + at.gates + j;
          const kernels::CellState<T> next = kernels::NextCell(
              gate[0], gate[units], gate[2 * units], gate[3 * units], m[at.c + j]);
          m[at.c + j] = next.c;
          const int64_t unit = thread.rank * units + j;
          for (int rank = 0; rank < kRanks; ++rank)
            Cluster::Of(thread, rank, mine)[at.h + (1 - now) * at.h_stride + unit] = next.h;
          if (states) states[(lifetime * count + i) * sizes.hidden + unit] = next.h;
        }
        // Meanwhile threads without a unit load what the next step reads at once.
        constexpr int kFirst = kFixed ? 32 : 0;
        if (i + 1 < count) LoadInput(at, lifetime, i + 1, m, kFirst, thread.tid);
        if (first) LoadFirst(at, lifetime * count + i, thread, m, kFirst);
        if (thread.tid == kFirst && noise) m[at.input + inputs] = noise[t];
      });
      run.Cluster([&](const auto& thread) {
        const T* m = Cluster::Own(thread, mine);
        for (int64_t j = thread.tid; j < first_rows; j += kThreads) {
          const int64_t row = thread.rank * first_rows + j;
          const T* weights = kFixed ? m + at.first_w + j * at.first_stride : FirstRow(row);
          const T sum = Chain<kFixed>(m[at.first_b + j], m + at.h + (1 - now) * at.h_stride,
                                      weights, sizes.hidden);
          const T value = kernels::scalar::Tanh(sum);
          for (int rank = 0; rank < kRanks; ++rank)
            Cluster::Of(thread, rank, mine)[at.first + row] = value;
        }
      });
      run.Cluster([&](const auto& thread) {
        const T* m = Cluster::Own(thread, mine);
        for (int64_t j = thread.tid; j < second_rows; j += kThreads) {
          const int64_t row = thread.rank * second_rows + j;
          const T* weights =
              kFixed ? m + at.second_w + j * at.second_stride : w.mean_w2 + row * sizes.heads;
          const T value = kernels::scalar::Tanh(
              Chain<kFixed>(m[at.second_b + j], m + at.first, weights, sizes.heads));
          for (int rank = 0; rank < kRanks; ++rank)
            Cluster::Of(thread, rank, mine)[at.second + row] = value;
        }
      });
      run.Block([&](const auto& thread) {
        T* m = Cluster::Own(thread, mine);
        if (thread.tid >= 2 * kernels::kDotLanes<T>) return;
        const int lane = thread.tid % kernels::kDotLanes<T>;
        m[at.lanes + thread.tid] =
            thread.tid < kernels::kDotLanes<T>
                ? kernels::DotLane(m + at.second, m + at.mean3, sizes.heads, lane)
                : kernels::DotLane(m + at.first + sizes.heads, m + at.logstd2, sizes.heads, lane);
      });
      run.Block([&](const auto& thread) {
        if (thread.tid > 0) return;
        T* m = Cluster::Own(thread, mine);
        const T slope = kernels::SumOfLanes(*w.mean_b3, m + at.lanes);
        const T s = kernels::SumOfLanes(*w.logstd_b2, m + at.lanes + kernels::kDotLanes<T>);
        const kernels::SignalDistribution distribution(slope, s, log_initial_std);
        const T y = noise ? T(distribution.mean + distribution.std * m[at.input + inputs])
                          : T(distribution.mean);
        m[at.previous] = y;
        if (thread.rank > 0) return;
        signals[t] = y;
        if (noise) log_probs[t] = T(distribution.LogDensity(y));
      });
    }
    run.Block([&](const auto& thread) {
      const T* m = Cluster::Own(thread, mine);
      for (int64_t j = thread.tid; j < units; j += kThreads) {
        const int64_t unit = thread.rank * units + j;
        h[lifetime * sizes.hidden + unit] = m[at.h + count % 2 * at.h_stride + unit];
        c[lifetime * sizes.hidden + unit] = m[at.c + j];
      }
      if (thread.rank == 0 && thread.tid == 0) previous[lifetime] = m[at.previous];
    });
  }

 private:
  // What step i sees at once, by threads from `from` on.
  MENTOR_HD void LoadInput(const Layout& at, int64_t lifetime, int64_t i, T* m, int from,
                           int tid) const {
    const int64_t t = lifetime * steps + begin + i;
    for (int64_t j = tid - from; j < sizes.enc1 + sizes.side; j += kThreads - from) {
      if (j < 0) break;
      const int64_t side = j - sizes.enc1;
      m[at.input + j] = side < 0 ? enc1[(lifetime * count + i) * sizes.enc1 + j]
                                 : features[(t + 1) * sizes.features - sizes.side + side];
    }
  }
  // Where the chains of the heads' first layers begin in a step, in place of the biases.
  template <class Thread>
  MENTOR_HD void LoadFirst(const Layout& at, int64_t row, const Thread& thread, T* m,
                           int from) const {
    const int64_t rows = 2 * sizes.heads / kRanks;
    for (int64_t j = thread.tid - from; j < rows; j += kThreads - from) {
      if (j < 0) break;
      m[at.first_b + j] = first[row * 2 * sizes.heads + thread.rank * rows + j];
    }
  }

  // h's part of rows of the first hidden layers of both policy heads.
  MENTOR_HD const T* FirstRow(int64_t row) const {
    const int64_t width = sizes.seen(), h = width - sizes.hidden;
    return row < sizes.heads ? w.mean_w1 + row * width + h
                             : w.logstd_w1 + (row - sizes.heads) * width + h;
  }

  template <class Thread>
  MENTOR_HD void LoadWeights(const Layout& at, const Thread& thread, T* m) const {
    const int64_t first_rows = 2 * sizes.heads / kRanks, second_rows = sizes.heads / kRanks;
    for (int64_t j = thread.tid; j < sizes.enc1; j += kThreads)
      m[at.enc1_previous + j] = w.enc1_w[(j + 1) * sizes.features - 1];
    for (int64_t j = thread.tid; j < sizes.enc2; j += kThreads) m[at.enc2_b + j] = w.enc2_b[j];
    for (int64_t j = thread.tid; j < 4 * Cluster::Units(sizes); j += kThreads) {
      const int64_t row = Cluster::GateRow(sizes, thread.rank, j);
      m[at.gates_b + j] = w.b_ih[row] + w.b_hh[row];
    }
    for (int64_t j = thread.tid; j < first_rows; j += kThreads) {
      const int64_t row = thread.rank * first_rows + j;
      m[at.first_b + j] = row < sizes.heads ? w.mean_b1[row] : w.logstd_b1[row - sizes.heads];
    }
    for (int64_t j = thread.tid; j < second_rows; j += kThreads)
      m[at.second_b + j] = w.mean_b2[thread.rank * second_rows + j];
    for (int64_t j = thread.tid; j < sizes.heads; j += kThreads) {
      m[at.mean3 + j] = w.mean_w3[j];
      m[at.logstd2 + j] = w.logstd_w2[j];
    }
    if constexpr (kFixed) {
      const int64_t row = Cluster::GateRow(sizes, thread.rank, thread.tid);
      MENTOR_UNROLL_BY(256)
      for (int k = 0; k < Sizes::code2(); ++k) thread.own.w.x[k] = w.w_ih[row * Sizes::code2() + k];
      MENTOR_UNROLL_BY(256)
      for (int k = 0; k < Sizes::hidden; ++k)
        thread.own.w.x[Sizes::code2() + k] = w.w_hh[row * Sizes::hidden + k];
      for (int64_t i = thread.tid; i < sizes.enc2 * sizes.code1(); i += kThreads)
        m[at.enc2_w + i / sizes.code1() * at.enc2_stride + i % sizes.code1()] = w.enc2_w[i];
      for (int64_t i = thread.tid; i < first_rows * sizes.hidden; i += kThreads) {
        const int64_t j = i / sizes.hidden, k = i % sizes.hidden;
        m[at.first_w + j * at.first_stride + k] = FirstRow(thread.rank * first_rows + j)[k];
      }
      for (int64_t i = thread.tid; i < second_rows * sizes.heads; i += kThreads) {
        m[at.second_w + i / sizes.heads * at.second_stride + i % sizes.heads] =
            w.mean_w2[thread.rank * second_rows * sizes.heads + i];
      }
    }
  }
};

}  // namespace mentor::signals
