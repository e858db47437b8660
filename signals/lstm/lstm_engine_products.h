// Products of LstmEngine (lstm_engine_phases.h). The gradients of the weights are a sum for each
// group of lifetimes.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/dense.h"
#include "kernels/product_phases.h"
#include "signals/lstm/lstm_engine_memory.h"
#include "signals/lstm/lstm_piece_phases.h"

namespace mentor::signals {

// c = bias + x w^T for the first `inner` columns of weights w, whose rows are w_row long.
template <typename T>
kernels::Product<T> ForwardProduct(const T* x, int64_t x_row, int64_t rows, const T* w,
                                   int64_t w_row, int64_t inner, int64_t columns, const T* bias,
                                   T* c, int64_t c_row) {
  return {.rows = rows,
          .columns = columns,
          .inner = inner,
          .a = x,
          .a_row = x_row,
          .b = w,
          .b_column = w_row,
          .c = c,
          .c_row = c_row,
          .bias = bias};
}
// Its chains go on from what c has.
template <typename T>
void Continue(kernels::Product<T>* product) {
  product->bias = nullptr;
  product->continued = true;
}
// c = dy w for the first `columns` columns of w, whose rows are w_row long.
template <typename T>
kernels::Product<T> ThroughWeights(const T* dy, int64_t dy_row, int64_t rows, const T* w,
                                   int64_t w_row, int64_t inner, int64_t columns, T* c,
                                   int64_t c_row) {
  return {.rows = rows,
          .columns = columns,
          .inner = inner,
          .a = dy,
          .a_row = dy_row,
          .b = w,
          .b_k = w_row,
          .b_column = 1,
          .c = c,
          .c_row = c_row};
}

// The groups of a piece.
template <typename T>
struct PieceGroups {
  kernels::LstmSizes sizes;
  PieceRows rows;
  T* group_gradients = nullptr;  // [groups, P]

  // Groups of one size: all groups, or all but a smaller last one, or that one.
  struct Part {
    int64_t groups, lifetimes, rows;  // Groups; lifetimes and rows of each
    int64_t first_group, first_row;   // First group and row of the part.
    int64_t first_state, states;      // Row of h at the part's h_{-1}; rows of each group.
  };
  std::vector<Part> Parts() const {
    std::vector<Part> parts;
    const int64_t last = rows.Groups() - 1;
    const auto add = [&](int64_t first_group, int64_t groups) {
      const int64_t lifetimes = rows.Lifetimes(first_group), first = rows.First(first_group);
      if (groups > 0) {
        parts.push_back({groups, lifetimes, lifetimes * rows.steps, first_group, first * rows.steps,
                         first * (rows.steps + 1), lifetimes * (rows.steps + 1)});
      }
    };
    const bool smaller = rows.Lifetimes(last) < rows.Lifetimes(0);
    add(0, smaller ? last : last + 1);
    if (smaller) add(last, 1);
    return parts;
  }

  // Rows of groups: numbers of row r at `x` + r * `row` + ..., groups `batch` apart.
  struct Rows {
    const T* x;
    int64_t row, batch;
  };
  static Rows RowsOf(const Part& part, const T* x, int64_t row) {
    return {x + part.first_row * row, row, part.rows * row};
  }
  Rows StatesBefore(const Part& part, const LstmTrunkMemory<T>& m) const {
    const int64_t hidden = sizes.hidden;
    return {m.h + part.first_state * hidden, hidden, part.states * hidden};
  }
  Rows StatesAfter(const Part& part, const LstmTrunkMemory<T>& m) const {
    if (m.heads_rows) return RowsOf(part, m.heads_rows, sizes.hidden);
    Rows states = StatesBefore(part, m);
    states.x += part.lifetimes * states.row;
    return states;
  }
  // The groups' gradients of the parameter at `weight`.
  T* GradientOf(const Part& part, const T* weights, const T* weight) const {
    return group_gradients + part.first_group * sizes.NumWeights() + (weight - weights);
  }

  // dw [y_columns, x_columns] = y^T x over the rows of each group, in blocks; rows of dw are dw_row
  // apart.
  kernels::Product<T> WeightGradient(const Part& part, const Rows& y, int64_t y_columns,
                                     const Rows& x, int64_t x_columns, T* dw,
                                     int64_t dw_row) const {
    return {.rows = y_columns,
            .columns = x_columns,
            .inner = part.rows,
            .a = y.x,
            .a_row = 1,
            .a_k = y.row,
            .b = x.x,
            .b_k = x.row,
            .b_column = 1,
            .c = dw,
            .c_row = dw_row,
            .block = kernels::WeightGradient<T>::kRows,
            .batches = part.groups,
            .a_batch = y.batch,
            .b_batch = x.batch,
            .c_batch = sizes.NumWeights()};
  }

  void AddBias(const Part& part, const T* weights, const T* y, int64_t y_row, int64_t columns,
               const T* of, const T* of2, kernels::ColumnSumsKernel<T>* biases) const {
    biases->sums.Add({.rows = part.rows,
                      .columns = columns,
                      .y = y + part.first_row * y_row,
                      .y_row = y_row,
                      .to = GradientOf(part, weights, of),
                      .to2 = of2 ? GradientOf(part, weights, of2) : nullptr,
                      .batches = part.groups,
                      .y_batch = part.rows * y_row,
                      .to_batch = sizes.NumWeights()});
  }
};

}  // namespace mentor::signals
