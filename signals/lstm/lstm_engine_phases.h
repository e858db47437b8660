// LstmEngine as a sequence of kernels. A launcher (launch.h) starts them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <vector>

#include <absl/status/status.h>

#include "common/check.h"
#include "kernels/dense.h"
#include "kernels/optimizer_phases.h"
#include "kernels/product_phases.h"
#include "signals/lstm/lstm_engine.h"
#include "signals/lstm/lstm_piece_phases.h"
#include "signals/lstm/lstm_run_phases.h"

namespace mentor::signals {

// Hands out arrays of a block of memory; without a block it only counts.
class Arena {
 public:
  explicit Arena(void* memory) : memory_(static_cast<char*>(memory)) {}

  template <typename T>
  T* Take(int64_t count) {
    const int64_t at = bytes_;
    bytes_ += kernels::CeilDiv(count * static_cast<int64_t>(sizeof(T)), kAlignment) * kAlignment;
    return memory_ ? reinterpret_cast<T*>(memory_ + at) : nullptr;
  }
  int64_t bytes() const { return bytes_; }

 private:
  static constexpr int64_t kAlignment = 256;
  char* memory_;
  int64_t bytes_ = 0;
};

template <typename T>
struct LstmActMemory {
  // Steps that run in one kernel; between kernels, products of many rows.
  static constexpr int64_t kSteps = 256;

  LstmActMemory(const LstmEngineShape& shape, Arena* arena)
      : enc1(arena->Take<T>(shape.lifetimes * kSteps * shape.sizes.enc1)),
        states(arena->Take<T>(shape.lifetimes * kSteps * shape.sizes.hidden)),
        critic(arena->Take<T>(shape.lifetimes * kSteps * shape.sizes.critic)),
        scratch(arena->Take<T>(shape.lifetimes *
                               LstmRunLayout<T, kernels::LstmSizes>(shape.sizes).all.end)) {}

  T *enc1, *states, *critic, *scratch;
};

template <typename T>
struct LstmPieceMemory {
  LstmPieceMemory(const LstmEngineShape& shape, Arena* arena) {
    const kernels::LstmSizes& s = shape.sizes;
    const int64_t rows = shape.lifetimes * shape.piece_steps, states = rows + shape.lifetimes;
    if (shape.piece_steps == 0) return;
    const int64_t groups = kernels::CeilDiv(shape.lifetimes, shape.group_lifetimes);
    features = arena->Take<T>(rows * s.features);
    code1 = arena->Take<T>(rows * s.code1());
    z = arena->Take<T>(rows * s.code2());
    gates = arena->Take<T>(rows * 4 * s.hidden);
    h = arena->Take<T>(states * s.hidden);
    c = arena->Take<T>(states * s.hidden);
    tanh_c = arena->Take<T>(rows * s.hidden);
    first = arena->Take<T>(rows * s.first());
    second = arena->Take<T>(rows * s.heads);
    for (T** scalars : {&slopes, &s_outputs, &values, &log_probs, &d_slopes, &d_s, &d_values})
      *scalars = arena->Take<T>(rows);
    terms = arena->Take<double>(rows * SumTerms::kTerms);
    dh = arena->Take<T>(rows * s.hidden);
    dcode = arena->Take<T>(rows * s.enc2);
    denc1 = arena->Take<T>(rows * s.enc1);
    scratch = arena->Take<T>(shape.lifetimes *
                             std::max(CellsForwardLayout<T, kernels::LstmSizes>(s).all.end,
                                      CellsBackwardLayout<T, kernels::LstmSizes>(s).all.end));
    group_gradients = arena->Take<T>(groups * s.NumWeights());
    gradient = arena->Take<T>(s.NumWeights());
    sum = arena->Take<T>(s.NumWeights());
    norm = arena->Take<double>(1);
  }

  // As in LstmPiece, except h and c, which have one more row for each lifetime.
  T *features, *code1, *z, *gates, *h, *c, *tanh_c, *first, *second;
  T *slopes, *s_outputs, *values, *log_probs;  // [rows]
  T *d_slopes, *d_s, *d_values;                // [rows]
  double* terms;
  T *dh, *dcode, *denc1;
  T* scratch;
  T* group_gradients;  // [groups, P]
  T *gradient, *sum;   // [P]: of this piece; of the pieces since the last optimizer step
  double* norm;
};

template <typename T>
int64_t LstmEngineBytes(const LstmEngineShape& shape) {
  Arena arena(nullptr);
  LstmActMemory<T>(shape, &arena);
  LstmPieceMemory<T>(shape, &arena);
  return arena.bytes();
}

template <typename T, class Launcher>
class LstmEngineOn : public LstmEngine<T> {
 public:
  LstmEngineOn(const LstmEngineShape& shape, void* memory, Launcher launcher)
      : shape_(shape),
        arena_(memory),
        act_(shape, &arena_),
        piece_(shape, &arena_),
        launcher_(launcher) {}

  absl::Status Act(const T* weights, const LstmRun<T>& run) override {
    MENTOR_CHECK(run.lifetimes <= shape_.lifetimes);
    const kernels::LstmSizes& s = shape_.sizes;
    const kernels::LstmSlices<const T> w(s, weights);
    const int64_t lifetimes = run.lifetimes;
    for (int64_t begin = 0; begin < run.steps; begin += act_.kSteps) {
      const int64_t count = std::min(act_.kSteps, run.steps - begin);
      kernels::Product<T> enc1 = Forward(run.features + begin * s.features, s.features, count,
                                         w.enc1_w, s.features, s.enc1, w.enc1_b, act_.enc1, s.enc1);
      enc1.batches = lifetimes;
      enc1.a_batch = run.steps * s.features;
      enc1.c_batch = count * s.enc1;
      RunProducts({enc1});
      WithSizes([&](auto sizes) {
        Queue(LstmRunKernel<T, decltype(sizes)>{.sizes = sizes,
                                                .w = w,
                                                .lifetimes = lifetimes,
                                                .steps = run.steps,
                                                .begin = begin,
                                                .count = count,
                                                .log_initial_std = run.log_initial_std,
                                                .enc1 = act_.enc1,
                                                .features = run.features,
                                                .noise = run.noise,
                                                .h = run.h,
                                                .c = run.c,
                                                .previous = run.previous,
                                                .signals = run.signals,
                                                .log_probs = run.log_probs,
                                                .states = run.noise ? act_.states : nullptr,
                                                .scratch = act_.scratch});
      });
      if (!run.noise) continue;
      kernels::Product<T> critic = Forward(act_.states, s.hidden, lifetimes * count, w.critic_w1,
                                           s.hidden, s.critic, w.critic_b1, act_.critic, s.critic);
      critic.after = After::kTanh;
      RunProducts({critic});
      kernels::RowDotsKernel<T> values;
      values.dots.Add({.rows = count,
                       .size = s.critic,
                       .a = act_.critic,
                       .a_row = s.critic,
                       .w = w.critic_w2,
                       .bias = w.critic_b2,
                       .out = run.values + begin,
                       .batches = lifetimes,
                       .out_batch = run.steps});
      Queue(values);
    }
    return status_;
  }

  absl::Status TrainPiece(const kernels::OuterLossConfig& loss, const T* weights,
                          const LstmBatch<T>& batch, int64_t begin, int64_t end, T* h, T* c,
                          kernels::OuterLossTerms* sums, double* norm) override {
    MENTOR_CHECK(batch.lifetimes <= shape_.lifetimes && end - begin <= shape_.piece_steps);
    MENTOR_CHECK(0 <= begin && begin < end && end <= batch.steps);
    rows_ = {.lifetimes = batch.lifetimes, .steps = end - begin, .group = shape_.group_lifetimes};
    const kernels::LstmSlices<const T> w(shape_.sizes, weights);
    ForEach(rows_.Count() * shape_.sizes.features,
            GatherFeatures<T>{shape_.sizes, rows_, batch, begin, piece_.features, piece_.code1,
                              piece_.z});
    EncodersForward(w);
    WithSizes([&](auto sizes) {
      Queue(CellsForwardKernel<T, decltype(sizes)>{.sizes = sizes,
                                                   .w_hh = w.w_hh,
                                                   .rows = rows_,
                                                   .h = h,
                                                   .c = c,
                                                   .gates = piece_.gates,
                                                   .h_rows = piece_.h,
                                                   .c_rows = piece_.c,
                                                   .tanh_c_rows = piece_.tanh_c,
                                                   .scratch = piece_.scratch});
    });
    HeadsForward(w);
    ForEach(rows_.Count(), StepLoss<T>{.loss = loss,
                                       .log_initial_std = shape_.log_initial_std,
                                       .rows = rows_,
                                       .batch = batch,
                                       .begin = begin,
                                       .slopes = piece_.slopes,
                                       .s = piece_.s_outputs,
                                       .values = piece_.values,
                                       .log_probs = piece_.log_probs,
                                       .d_slopes = piece_.d_slopes,
                                       .d_s = piece_.d_s,
                                       .d_values = piece_.d_values,
                                       .terms = piece_.terms});
    static_assert(sizeof(kernels::OuterLossTerms) == SumTerms::kTerms * sizeof(double));
    ForEach(rows_.Groups() * SumTerms::kTerms,
            SumTerms{.rows = rows_, .terms = piece_.terms, .sums = &sums->pg});
    Backward(weights, w);
    SumGradients(norm);
    return status_;
  }

  absl::Status ClipAndStep(const kernels::AdamConfig& config, int64_t step,
                           std::optional<double> max_grad_norm, T* weights, T* m, T* v) override {
    const int64_t size = shape_.sizes.NumWeights();
    Queue(kernels::NormKernel<T>{.x = piece_.sum, .size = size, .norm = piece_.norm});
    ForEach(size, kernels::ClippedAdam<T>{.adam = kernels::AdamStep<T>(config, step, 1),
                                          .norm = max_grad_norm ? piece_.norm : nullptr,
                                          .norm_max = max_grad_norm.value_or(0),
                                          .gradient = piece_.sum,
                                          .theta = weights,
                                          .m = m,
                                          .v = v});
    fresh_ = true;
    return status_;
  }

  // Memory of the last piece.
  const LstmPieceMemory<T>& piece() const { return piece_; }

 private:
  using After = typename kernels::Product<T>::After;

  template <class F>
  void WithSizes(F&& f) {
    const kernels::LstmSizes& s = shape_.sizes;
    if (launcher_.has_clusters) {
      if (kernels::FixedLstmSizes<4>::Matches(s)) return f(kernels::FixedLstmSizes<4>{s.features});
      if (kernels::FixedLstmSizes<5>::Matches(s)) return f(kernels::FixedLstmSizes<5>{s.features});
    }
    f(s);
  }
  template <class Kernel>
  void Queue(const Kernel& kernel) {
    if (status_.ok()) status_ = launcher_.Launch(kernel, kernel.Clusters());
  }
  template <class F>
  void ForEach(int64_t count, const F& f) {
    Queue(kernels::ForEachKernel<F>{.count = count, .f = f});
  }
  void RunProducts(std::initializer_list<kernels::Product<T>> products) {
    kernels::ProductKernel<T> kernel;
    for (const kernels::Product<T>& product : products) kernel.products.Add(product);
    Queue(kernel);
  }

  // c = bias + x w^T with rows of weights w [columns, inner].
  static kernels::Product<T> Forward(const T* x, int64_t x_row, int64_t rows, const T* w,
                                     int64_t inner, int64_t columns, const T* bias, T* c,
                                     int64_t c_row) {
    return {.rows = rows,
            .columns = columns,
            .inner = inner,
            .a = x,
            .a_row = x_row,
            .b = w,
            .b_column = inner,
            .c = c,
            .c_row = c_row,
            .bias = bias};
  }
  // c = dy w for the first `columns` columns of w, whose rows are w_row long.
  static kernels::Product<T> ThroughWeights(const T* dy, int64_t dy_row, int64_t rows, const T* w,
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

  // Groups of one size: all groups, or all but a smaller last one, or that one.
  struct Part {
    int64_t groups, lifetimes, rows;  // Groups; lifetimes and rows of each
    int64_t first_group, first_row;   // First group and row of the part.
    int64_t first_state, states;      // Row of h at the part's h_{-1}; rows of each group.
  };
  std::vector<Part> Parts() const {
    std::vector<Part> parts;
    const int64_t last = rows_.Groups() - 1;
    const auto add = [&](int64_t first_group, int64_t groups) {
      const int64_t lifetimes = rows_.Lifetimes(first_group), first = rows_.First(first_group);
      if (groups > 0) {
        parts.push_back({groups, lifetimes, lifetimes * rows_.steps, first_group,
                         first * rows_.steps, first * (rows_.steps + 1),
                         lifetimes * (rows_.steps + 1)});
      }
    };
    const bool smaller = rows_.Lifetimes(last) < rows_.Lifetimes(0);
    add(0, smaller ? last : last + 1);
    if (smaller) add(last, 1);
    return parts;
  }

  // Rows of groups: numbers of row r at `x` + r * `row` + ..., groups `batch` apart.
  struct GroupRows {
    const T* x;
    int64_t row, batch;
  };
  static GroupRows RowsOf(const Part& part, const T* x, int64_t row) {
    return {x + part.first_row * row, row, part.rows * row};
  }
  GroupRows StatesBefore(const Part& part) const {
    const int64_t hidden = shape_.sizes.hidden;
    return {piece_.h + part.first_state * hidden, hidden, part.states * hidden};
  }
  GroupRows StatesAfter(const Part& part) const {
    GroupRows states = StatesBefore(part);
    states.x += part.lifetimes * states.row;
    return states;
  }
  // The groups' gradients of the parameter at `weight`.
  T* GradientOf(const Part& part, const T* weights, const T* weight) const {
    return piece_.group_gradients + part.first_group * shape_.sizes.NumWeights() +
           (weight - weights);
  }

  // dw [y_columns, x_columns] = y^T x over the rows of each group, in blocks.
  kernels::Product<T> WeightGradient(const Part& part, const GroupRows& y, int64_t y_columns,
                                     const GroupRows& x, int64_t x_columns, T* dw) const {
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
            .c_row = x_columns,
            .block = kernels::WeightGradient<T>::kRows,
            .batches = part.groups,
            .a_batch = y.batch,
            .b_batch = x.batch,
            .c_batch = shape_.sizes.NumWeights()};
  }

  void EncodersForward(const kernels::LstmSlices<const T>& w) {
    const kernels::LstmSizes& s = shape_.sizes;
    const int64_t rows = rows_.Count();
    kernels::Product<T> enc1 = Forward(piece_.features, s.features, rows, w.enc1_w, s.features,
                                       s.enc1, w.enc1_b, piece_.code1, s.code1());
    enc1.after = After::kRelu;
    RunProducts({enc1});
    kernels::Product<T> enc2 = Forward(piece_.code1, s.code1(), rows, w.enc2_w, s.code1(), s.enc2,
                                       w.enc2_b, piece_.z, s.code2());
    enc2.after = After::kRelu;
    RunProducts({enc2});
    // The gates before h; h continues their chains.
    kernels::Product<T> gates = Forward(piece_.z, s.code2(), rows, w.w_ih, s.code2(), 4 * s.hidden,
                                        w.b_ih, piece_.gates, 4 * s.hidden);
    gates.bias2 = w.b_hh;
    RunProducts({gates});
  }

  void HeadsForward(const kernels::LstmSlices<const T>& w) {
    const kernels::LstmSizes& s = shape_.sizes;
    const int64_t rows = rows_.Count(), heads = s.heads;
    kernels::ProductKernel<T> first;
    for (const Part& part : Parts()) {
      const GroupRows h = StatesAfter(part);
      const auto add = [&](const T* weights, const T* bias, int64_t columns, int64_t to) {
        kernels::Product<T> p = Forward(h.x, h.row, part.rows, weights, s.hidden, columns, bias,
                                        piece_.first + part.first_row * s.first() + to, s.first());
        p.after = After::kTanh;
        p.batches = part.groups;
        p.a_batch = h.batch;
        p.c_batch = part.rows * s.first();
        first.products.Add(p);
      };
      add(w.mean_w1, w.mean_b1, heads, 0);
      add(w.logstd_w1, w.logstd_b1, heads, heads);
      add(w.critic_w1, w.critic_b1, s.critic, 2 * heads);
    }
    Queue(first);
    kernels::Product<T> second = Forward(piece_.first, s.first(), rows, w.mean_w2, heads, heads,
                                         w.mean_b2, piece_.second, heads);
    second.after = After::kTanh;
    RunProducts({second});
    kernels::RowDotsKernel<T> outputs;
    const auto add = [&](const T* x, int64_t x_row, const T* weights, const T* bias, int64_t size,
                         T* out) {
      outputs.dots.Add({.rows = rows,
                        .size = size,
                        .a = x,
                        .a_row = x_row,
                        .w = weights,
                        .bias = bias,
                        .out = out});
    };
    add(piece_.second, heads, w.mean_w3, w.mean_b3, heads, piece_.slopes);
    add(piece_.first + heads, s.first(), w.logstd_w2, w.logstd_b2, heads, piece_.s_outputs);
    add(piece_.first + 2 * heads, s.first(), w.critic_w2, w.critic_b2, s.critic, piece_.values);
    Queue(outputs);
  }

  void Backward(const T* weights, const kernels::LstmSlices<const T>& w) {
    const kernels::LstmSizes& s = shape_.sizes;
    const int64_t rows = rows_.Count(), heads = s.heads, hidden = s.hidden;
    const std::vector<Part> parts = Parts();

    // The outputs' weights: one chain over all rows of a group.
    kernels::ProductKernel<T> outputs;
    for (const Part& part : parts) {
      const auto add = [&](const T* dy, const T* x, int64_t x_row, int64_t columns, const T* of) {
        kernels::Product<T> p = WeightGradient(part, RowsOf(part, dy, 1), 1, RowsOf(part, x, x_row),
                                               columns, GradientOf(part, weights, of));
        p.block = 0;
        outputs.products.Add(p);
      };
      add(piece_.d_slopes, piece_.second, heads, heads, w.mean_w3);
      add(piece_.d_s, piece_.first + heads, s.first(), heads, w.logstd_w2);
      add(piece_.d_values, piece_.first + 2 * heads, s.first(), s.critic, w.critic_w2);
    }
    Queue(outputs);
    ForEach(rows * s.first(), OutputsBackward<T>{.sizes = s,
                                                 .w = w,
                                                 .d_slopes = piece_.d_slopes,
                                                 .d_s = piece_.d_s,
                                                 .d_values = piece_.d_values,
                                                 .first = piece_.first,
                                                 .second = piece_.second});
    // The mean's second layer, before its inputs become their derivatives.
    kernels::ProductKernel<T> second;
    for (const Part& part : parts) {
      second.products.Add(WeightGradient(part, RowsOf(part, piece_.second, heads), heads,
                                         RowsOf(part, piece_.first, s.first()), heads,
                                         GradientOf(part, weights, w.mean_w2)));
    }
    Queue(second);
    kernels::Product<T> mean1 = ThroughWeights(piece_.second, heads, rows, w.mean_w2, heads, heads,
                                               heads, piece_.first, s.first());
    mean1.after = After::kTanhDerivative;
    RunProducts({mean1});
    // One chain through the three first layers.
    const auto through = [&](const T* first_layer, int64_t from, int64_t inner) {
      kernels::Product<T> p = ThroughWeights(piece_.first + from, s.first(), rows, first_layer,
                                             hidden, inner, hidden, piece_.dh, hidden);
      p.continued = from > 0;
      RunProducts({p});
    };
    through(w.mean_w1, 0, heads);
    through(w.logstd_w1, heads, heads);
    through(w.critic_w1, 2 * heads, s.critic);

    WithSizes([&](auto sizes) {
      Queue(CellsBackwardKernel<T, decltype(sizes)>{.sizes = sizes,
                                                    .w_hh = w.w_hh,
                                                    .rows = rows_,
                                                    .gates = piece_.gates,
                                                    .c_rows = piece_.c,
                                                    .tanh_c_rows = piece_.tanh_c,
                                                    .dh = piece_.dh,
                                                    .scratch = piece_.scratch});
    });
    // No gradient flows to the side inputs.
    kernels::Product<T> code = ThroughWeights(piece_.gates, 4 * hidden, rows, w.w_ih, s.code2(),
                                              4 * hidden, s.enc2, piece_.dcode, s.enc2);
    code.after = After::kWherePositive;
    code.gate = piece_.z;
    code.gate_row = s.code2();
    RunProducts({code});
    kernels::Product<T> enc1 = ThroughWeights(piece_.dcode, s.enc2, rows, w.enc2_w, s.code1(),
                                              s.enc2, s.enc1, piece_.denc1, s.enc1);
    enc1.after = After::kWherePositive;
    enc1.gate = piece_.code1;
    enc1.gate_row = s.code1();
    RunProducts({enc1});
    WeightGradients(weights, w);
  }

  void WeightGradients(const T* weights, const kernels::LstmSlices<const T>& w) {
    const kernels::LstmSizes& s = shape_.sizes;
    const int64_t heads = s.heads, hidden = s.hidden;
    kernels::ProductKernel<T> kernel;
    kernels::ColumnSumsKernel<T> biases;
    for (const Part& part : Parts()) {
      const auto add = [&](const T* y, int64_t y_row, int64_t y_columns, const GroupRows& x,
                           int64_t x_columns, const T* of) {
        kernel.products.Add(WeightGradient(part, RowsOf(part, y, y_row), y_columns, x, x_columns,
                                           GradientOf(part, weights, of)));
      };
      const GroupRows h = StatesAfter(part);
      add(piece_.denc1, s.enc1, s.enc1, RowsOf(part, piece_.features, s.features), s.features,
          w.enc1_w);
      add(piece_.dcode, s.enc2, s.enc2, RowsOf(part, piece_.code1, s.code1()), s.code1(), w.enc2_w);
      add(piece_.gates, 4 * hidden, 4 * hidden, RowsOf(part, piece_.z, s.code2()), s.code2(),
          w.w_ih);
      add(piece_.gates, 4 * hidden, 4 * hidden, StatesBefore(part), hidden, w.w_hh);
      add(piece_.first, s.first(), heads, h, hidden, w.mean_w1);
      add(piece_.first + heads, s.first(), heads, h, hidden, w.logstd_w1);
      add(piece_.first + 2 * heads, s.first(), s.critic, h, hidden, w.critic_w1);

      const auto add_bias = [&](const T* y, int64_t y_row, int64_t columns, const T* of,
                                const T* of2 = nullptr) {
        biases.sums.Add({.rows = part.rows,
                         .columns = columns,
                         .y = y + part.first_row * y_row,
                         .y_row = y_row,
                         .to = GradientOf(part, weights, of),
                         .to2 = of2 ? GradientOf(part, weights, of2) : nullptr,
                         .batches = part.groups,
                         .y_batch = part.rows * y_row,
                         .to_batch = s.NumWeights()});
      };
      add_bias(piece_.denc1, s.enc1, s.enc1, w.enc1_b);
      add_bias(piece_.dcode, s.enc2, s.enc2, w.enc2_b);
      // Both biases enter together, so they share one sum.
      add_bias(piece_.gates, 4 * hidden, 4 * hidden, w.b_ih, w.b_hh);
      add_bias(piece_.first, s.first(), heads, w.mean_b1);
      add_bias(piece_.second, heads, heads, w.mean_b2);
      add_bias(piece_.d_slopes, 1, 1, w.mean_b3);
      add_bias(piece_.first + heads, s.first(), heads, w.logstd_b1);
      add_bias(piece_.d_s, 1, 1, w.logstd_b2);
      add_bias(piece_.first + 2 * heads, s.first(), s.critic, w.critic_b1);
      add_bias(piece_.d_values, 1, 1, w.critic_b2);
    }
    Queue(kernel);
    Queue(biases);
  }

  void SumGradients(double* norm) {
    const int64_t size = shape_.sizes.NumWeights();
    T* gradient = fresh_ ? piece_.sum : piece_.gradient;
    ForEach(size, kernels::SumGroups<T>{.groups = piece_.group_gradients,
                                        .count = rows_.Groups(),
                                        .size = size,
                                        .sum = gradient});
    Queue(kernels::NormKernel<T>{.x = gradient, .size = size, .norm = norm});
    if (!fresh_) ForEach(size, kernels::AddTo<T>{.x = gradient, .sum = piece_.sum});
    fresh_ = false;
  }

  const LstmEngineShape shape_;
  Arena arena_;
  const LstmActMemory<T> act_;
  const LstmPieceMemory<T> piece_;
  Launcher launcher_;
  absl::Status status_;
  PieceRows rows_;     // Rows of the last piece.
  bool fresh_ = true;  // No piece since the last optimizer step.
};

}  // namespace mentor::signals
