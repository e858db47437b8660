// Training of the LSTM signal network on a piece of recorded lifetimes as phases, without the
// products (product_phases.h). The bits of lstm_piece.h, group by group. Pure; threads may share.
#pragma once

#include <cstdint>

#include "common/device_code.h"
#include "kernels/lstm_cell.h"
#include "kernels/lstm_weights.h"
#include "kernels/outer_step.h"
#include "kernels/phases.h"
#include "kernels/product_phases.h"
#include "kernels/scalar.h"
#include "kernels/signal_distribution.h"
#include "signals/lstm/lstm_batch.h"
#include "signals/lstm/lstm_run_phases.h"

namespace mentor::signals {

// Rows of a piece: group after group of lifetimes, each step-major.
struct PieceRows {
  int64_t lifetimes = 0, steps = 0;  // N, t
  int64_t group = 0;                 // Lifetimes of a group; the last may have fewer.

  MENTOR_HD int64_t Count() const { return lifetimes * steps; }
  MENTOR_HD int64_t Groups() const { return kernels::CeilDiv(lifetimes, group); }
  MENTOR_HD int64_t First(int64_t g) const { return g * group; }
  MENTOR_HD int64_t Lifetimes(int64_t g) const {
    return g + 1 < Groups() ? group : lifetimes - First(g);
  }
  MENTOR_HD int64_t Row(int64_t lifetime, int64_t step) const {
    const int64_t g = lifetime / group;
    return First(g) * steps + step * Lifetimes(g) + lifetime - First(g);
  }
  // For arrays with one more row for each lifetime: the row that enters its first step.
  MENTOR_HD int64_t StateRow(int64_t lifetime, int64_t step) const {
    return Row(lifetime, step) + First(lifetime / group);
  }
  struct Place {
    int64_t lifetime, step;
  };
  MENTOR_HD Place At(int64_t row) const {
    const int64_t g = row / (group * steps), in_group = row - First(g) * steps;
    return {First(g) + in_group % Lifetimes(g), in_group / Lifetimes(g)};
  }
};

// The LSTM that runs backward: its steps have the reverse order, and it begins anew before each
// whose last feature is not 0. Without features: the LSTM that runs forward, which goes on.
template <typename T>
struct StepOrder {
  const T* features = nullptr;  // [rows, width]
  int64_t width = 0;
  bool begins = false;  // With the first step, whatever its features.

  MENTOR_HD bool BeginsAnew(const PieceRows& rows, int64_t lifetime, int64_t step) const {
    if (!features || step >= rows.steps) return false;
    return (begins && step == 0) || features[(rows.Row(lifetime, step) + 1) * width - 1] != 0;
  }
  // The row of the step in arrays of the heads.
  MENTOR_HD int64_t HeadsRow(const PieceRows& rows, int64_t lifetime, int64_t step) const {
    return rows.Row(lifetime, features ? rows.steps - 1 - step : step);
  }
};

// For ForEachKernel, over rows times features.
template <typename T>
struct GatherFeatures {
  kernels::LstmSizes sizes;
  PieceRows rows;
  LstmBatch<T> batch;
  int64_t begin;
  T *features, *code1, *z;

  MENTOR_HD void operator()(int64_t i) const {
    const int64_t row = i / sizes.features, j = i % sizes.features;
    const auto [lifetime, step] = rows.At(row);
    const T* from = step == 0 && batch.cut_features ? batch.cut_features : batch.features;
    const T x = from[(lifetime * batch.steps + begin + step) * sizes.features + j];
    features[i] = x;
    const int64_t side = j - (sizes.features - sizes.side);
    if (side < 0) return;
    code1[row * sizes.code1() + sizes.enc1 + side] = x;
    z[row * sizes.code2() + sizes.enc2 + side] = x;
  }
};

template <typename T, class Sizes>
struct CellsForwardLayout {
  using Cluster = LstmCluster<Sizes>;

  Offsets all;
  int64_t h, h_stride, gates, c;  // As in acting.

  MENTOR_HD constexpr explicit CellsForwardLayout(const Sizes& s)
      : h(all.Take(s.hidden)),
        h_stride(all.Take(s.hidden) - h),
        gates(all.Take(4 * Cluster::Units(s))),
        c(all.Take(s.hidden)) {}
};

// The cells, step by step, a cluster for each lifetime.
template <typename T, class Sizes>
struct CellsForwardKernel {
  using Cluster = LstmCluster<Sizes>;
  static constexpr bool kFixed = Sizes::kFixed;
  static constexpr int kRanks = Cluster::kRanks, kThreads = Cluster::kThreads;

  using Layout = CellsForwardLayout<T, Sizes>;
  using Shared = Numbers<T, kFixed ? Layout(Sizes{}).all.end : 0>;
  struct Registers {
    Numbers<T, kFixed ? Sizes{}.hidden : 0> w;  // A row of W_hh.
    T before;                                   // The next step's.
  };

  Sizes sizes;
  const T* w_hh;
  PieceRows rows;
  StepOrder<T> order;
  T *h, *c;            // [N, H]: the state before the piece, then after it
  T* gates;            // [rows, 4 H]: the part before h; then activated
  T *h_rows, *c_rows;  // [rows + N, H]
  T* tanh_c_rows;      // [rows, H]
  T* heads_rows;       // [rows, H]: h as the heads read it, or null: in h_rows
  T* scratch;          // [N, Layout::all.end] unless the sizes are fixed

  int64_t Clusters() const { return rows.lifetimes; }

  template <class Run>
  MENTOR_HD void Phases(int64_t lifetime, const Run& run) const {
    const Layout at(sizes);
    const int64_t units = Cluster::Units(sizes), hidden = sizes.hidden;
    T* const mine = kFixed ? nullptr : scratch + lifetime * at.all.end;
    run.Block([&](const auto& thread) {
      T* m = Cluster::Own(thread, mine);
      const int64_t row = rows.StateRow(lifetime, 0);
      const bool anew = order.BeginsAnew(rows, lifetime, 0);
      for (int64_t j = thread.tid; j < hidden; j += kThreads)
        m[at.h + j] = anew ? T(0) : h[lifetime * hidden + j];
      for (int64_t j = thread.tid; j < units; j += kThreads) {
        const int64_t unit = thread.rank * units + j, from = lifetime * hidden + unit;
        m[at.c + j] = c_rows[row * hidden + unit] = anew ? T(0) : c[from];
        h_rows[row * hidden + unit] = anew ? T(0) : h[from];
      }
      if constexpr (kFixed) {
        const int64_t gate = Cluster::GateRow(sizes, thread.rank, thread.tid);
        MENTOR_UNROLL_BY(256)
        for (int k = 0; k < Sizes::hidden; ++k) thread.own.w.x[k] = w_hh[gate * Sizes::hidden + k];
        thread.own.before = gates[rows.Row(lifetime, 0) * 4 * hidden + gate];
      }
    });
    for (int64_t step = 0; step < rows.steps; ++step) {
      const int now = static_cast<int>(step % 2);
      const int64_t row = rows.Row(lifetime, step), next_row = rows.StateRow(lifetime, step + 1);
      const bool anew = order.BeginsAnew(rows, lifetime, step + 1);
      run.Block([&](const auto& thread) {
        T* m = Cluster::Own(thread, mine);
        for (int64_t j = thread.tid; j < 4 * units; j += kThreads) {
          const int64_t gate = Cluster::GateRow(sizes, thread.rank, j);
          T* to = gates + row * 4 * hidden + gate;
          T sum;
          if constexpr (kFixed) {
            sum = ChainOfRegisters<Sizes::hidden>(thread.own.before, m + at.h + now * at.h_stride,
                                                  thread.own.w.x);
          } else {
            sum = Chain<false>(*to, m + at.h + now * at.h_stride, w_hh + gate * hidden, hidden);
          }
          m[at.gates + j] = *to = kernels::ActivateGate(gate, hidden, sum);
        }
      });
      run.Cluster([&](const auto& thread) {
        T* m = Cluster::Own(thread, mine);
        if constexpr (kFixed) {
          if (step + 1 < rows.steps) {
            thread.own.before = gates[rows.Row(lifetime, step + 1) * 4 * hidden +
                                      Cluster::GateRow(sizes, thread.rank, thread.tid)];
          }
        }
        for (int64_t j = thread.tid; j < units; j += kThreads) {
          const T* gate = m + at.gates + j;
          const kernels::CellState<T> next = kernels::NextCell(
              gate[0], gate[units], gate[2 * units], gate[3 * units], m[at.c + j]);
          const int64_t unit = thread.rank * units + j;
          const T c_on = anew ? T(0) : next.c, h_on = anew ? T(0) : next.h;
          m[at.c + j] = c_rows[next_row * hidden + unit] = c_on;
          tanh_c_rows[row * hidden + unit] = next.tanh_c;
          h_rows[next_row * hidden + unit] = h_on;
          if (heads_rows) heads_rows[order.HeadsRow(rows, lifetime, step) * hidden + unit] = next.h;
          for (int rank = 0; rank < kRanks; ++rank)
            Cluster::Of(thread, rank, mine)[at.h + (1 - now) * at.h_stride + unit] = h_on;
          if (step + 1 == rows.steps) {
            h[lifetime * hidden + unit] = next.h;
            c[lifetime * hidden + unit] = next.c;
          }
        }
      });
    }
  }
};

template <typename T, class Sizes>
struct CellsBackwardLayout {
  using Cluster = LstmCluster<Sizes>;

  Offsets all;
  int64_t dgates, dgates_stride;  // [2]: by parity of the step; for all units.
  int64_t dc;
  int64_t w;  // [4 H, units]: columns of W_hh; fixed sizes

  MENTOR_HD constexpr explicit CellsBackwardLayout(const Sizes& s)
      : dgates(all.Take(4 * s.hidden)),
        dgates_stride(all.Take(4 * s.hidden) - dgates),
        dc(all.Take(s.hidden)),
        w(all.Take(Cluster::kFixed ? 4 * s.hidden * Cluster::Units(s) : 0)) {}
};

// The backward pass: activated gates become the loss's derivatives before activation.
template <typename T, class Sizes>
struct CellsBackwardKernel {
  using Cluster = LstmCluster<Sizes>;
  static constexpr bool kFixed = Sizes::kFixed;
  static constexpr int kRanks = Cluster::kRanks, kThreads = Cluster::kThreads;

  using Layout = CellsBackwardLayout<T, Sizes>;
  using Shared = Numbers<T, kFixed ? Layout(Sizes{}).all.end : 0>;
  struct Registers {};

  Sizes sizes;
  const T* w_hh;
  PieceRows rows;
  StepOrder<T> order;
  T* gates;                            // [rows, 4 H]
  const T *c_rows, *tanh_c_rows, *dh;  // dh [rows, H]: from the heads, in their order
  T* scratch;

  int64_t Clusters() const { return rows.lifetimes; }

  template <class Run>
  MENTOR_HD void Phases(int64_t lifetime, const Run& run) const {
    const Layout at(sizes);
    const int64_t units = Cluster::Units(sizes), hidden = sizes.hidden;
    T* const mine = kFixed ? nullptr : scratch + lifetime * at.all.end;
    run.Block([&](const auto& thread) {
      T* m = Cluster::Own(thread, mine);
      for (int64_t j = thread.tid; j < units; j += kThreads) m[at.dc + j] = 0;
      if constexpr (kFixed) {
        for (int64_t i = thread.tid; i < 4 * hidden * units; i += kThreads)
          m[at.w + i] = w_hh[i / units * hidden + thread.rank * units + i % units];
      }
    });
    for (int64_t step = rows.steps - 1; step >= 0; --step) {
      const int64_t row = rows.Row(lifetime, step), c_row = rows.StateRow(lifetime, step);
      const int64_t heads_row = order.HeadsRow(rows, lifetime, step);
      const bool anew = order.BeginsAnew(rows, lifetime, step + 1);
      run.Cluster([&](const auto& thread) {
        T* m = Cluster::Own(thread, mine);
        for (int64_t j = thread.tid; j < units; j += kThreads) {
          const int64_t unit = thread.rank * units + j;
          T* gate = gates + row * 4 * hidden + unit;
          const T i = gate[0], f = gate[hidden], g = gate[2 * hidden], o = gate[3 * hidden];
          const T c_previous = c_rows[c_row * hidden + unit];
          const T tanh_c = tanh_c_rows[row * hidden + unit];
          T dh_now = dh[heads_row * hidden + unit];
          if (step + 1 < rows.steps && !anew) {
            const T* dgates = m + at.dgates + (step + 1) % 2 * at.dgates_stride;
            dh_now += kFixed ? FromGates(dgates, m + at.w + j, units)
                             : FromGates(dgates, w_hh + unit, hidden);
          }
          const kernels::CellDerivatives<T> d = kernels::CellBackward(
              i, f, g, o, c_previous, tanh_c, dh_now, anew ? T(0) : m[at.dc + j]);
          m[at.dc + j] = d.dc;
          MENTOR_UNROLL for (int q = 0; q < 4; ++q) {
            gate[q * hidden] = d.gates[q];
            for (int rank = 0; rank < kRanks; ++rank)
              Cluster::Of(thread, rank,
                          mine)[at.dgates + step % 2 * at.dgates_stride + q * hidden + unit] =
                  d.gates[q];
          }
        }
      });
    }
  }

 private:
  // The derivative by h from all gates of the next step. w: a column of W_hh.
  MENTOR_HD T FromGates(const T* dgates, const T* w, int64_t distance) const {
    T sum = 0;
    for (int64_t k = 0; k < 4 * sizes.hidden; k += 4) {
      const Four<T> d = Load4(dgates + k);
      MENTOR_UNROLL for (int i = 0; i < 4; ++i) sum =
          kernels::scalar::Fma(d.x[i], w[(k + i) * distance], sum);
    }
    return sum;
  }
};

// For ForEachKernel, over rows: the loss of each step and its derivatives by the heads' outputs.
template <typename T>
struct StepLoss {
  static constexpr int kTerms = sizeof(kernels::OuterLossTerms) / sizeof(double);

  kernels::OuterLossConfig loss;
  double log_initial_std;
  PieceRows rows;
  LstmBatch<T> batch;
  int64_t begin;
  const T *slopes, *s, *values;  // [rows]: outputs of the heads
  T* log_probs;                  // [rows]
  T *d_slopes, *d_s, *d_values;  // [rows]
  double* terms;                 // [kTerms, rows]: terms of the loss

  MENTOR_HD void operator()(int64_t row) const {
    const auto [lifetime, step] = rows.At(row);
    const int64_t at = lifetime * batch.steps + begin + step;
    const kernels::SignalDistribution distribution(slopes[row], s[row], log_initial_std);
    const T signal = batch.signals[at];
    const T log_prob = T(distribution.LogDensity(signal));
    const T u = T((signal - distribution.mean) / distribution.std), std = T(distribution.std);
    const T log_std = T(distribution.log_std);
    const auto [sums, d] =
        kernels::EvaluateOuterStep(loss, static_cast<double>(rows.Count()),
                                   {.log_prob = log_prob,
                                    .entropy = log_std + kernels::kEntropyOfUnitNormal,
                                    .value = values[row]},
                                   {.log_prob = batch.log_probs[at],
                                    .advantage = batch.advantages[at],
                                    .target = batch.targets[at]});
    // ln N(y; mean, std) with mean = arctan(slope), ln std = s + constant.
    const T d_log_prob = T(d.log_prob), one = 1;
    log_probs[row] = log_prob;
    d_slopes[row] = d_log_prob * u / std / (one + slopes[row] * slopes[row]);
    d_s[row] = d_log_prob * (u * u - one) + T(d.entropy);
    d_values[row] = T(d.value);
    const double term[kTerms] = {sums.pg, sums.entropy, sums.value,
                                 sums.kl, sums.clipped, sums.rho_error};
    for (int i = 0; i < kTerms; ++i) terms[i * rows.Count() + row] = term[i];
  }
};

// For ForEachKernel, over groups times terms: sums over the rows of a group, in their order.
struct SumTerms {
  static constexpr int kTerms = sizeof(kernels::OuterLossTerms) / sizeof(double);

  PieceRows rows;
  const double* terms;  // [kTerms, rows]
  double* sums;         // [groups, kTerms]

  MENTOR_HD void operator()(int64_t i) const {
    const int64_t g = i / kTerms, term = i % kTerms;
    const double* x = terms + term * rows.Count() + rows.First(g) * rows.steps;
    const int64_t count = rows.Lifetimes(g) * rows.steps;
    double sum = 0;
    MENTOR_UNROLL_BY(16)
    for (int64_t r = 0; r < count; ++r)
      sum = term == kTerms - 1 ? kernels::GreaterRhoError(sum, x[r]) : sum + x[r];
    sums[i] = sum;
  }
};

// For ForEachKernel, over rows times (2 M + C): turns the tanh units under the three outputs into
// the loss's derivatives before their activation.
template <typename T>
struct OutputsBackward {
  kernels::LstmSizes sizes;
  kernels::LstmSlices<const T> w;
  const T *d_slopes, *d_s, *d_values;
  T *first, *second;

  MENTOR_HD void operator()(int64_t i) const {
    const int64_t n = sizes.first(), row = i / n, j = i % n, heads = sizes.heads;
    T* x = j < heads ? second + row * heads + j : first + row * n + j;
    const T dy = j < heads ? d_slopes[row] : j < 2 * heads ? d_s[row] : d_values[row];
    const T weight = j < heads       ? w.mean_w3[j]
                     : j < 2 * heads ? w.logstd_w2[j - heads]
                                     : w.critic_w2[j - 2 * heads];
    *x = dy * weight * (T(1) - *x * *x);
  }
};

}  // namespace mentor::signals
