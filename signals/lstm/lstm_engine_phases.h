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
#include "signals/lstm/lstm_engine_memory.h"
#include "signals/lstm/lstm_engine_products.h"
#include "signals/lstm/lstm_piece_phases.h"
#include "signals/lstm/lstm_run_phases.h"

namespace mentor::signals {

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
    if (s.both) RunLater(w.later, run);
    for (int64_t begin = 0; begin < run.steps; begin += act_.kSteps) {
      const int64_t count = std::min(act_.kSteps, run.steps - begin);
      kernels::Product<T> enc1 =
          ForwardProduct(run.features + begin * s.features, s.features, count, w.enc1_w, s.features,
                         s.features, s.enc1, w.enc1_b, act_.enc1, s.enc1);
      enc1.batches = lifetimes;
      enc1.a_batch = run.steps * s.features;
      enc1.c_batch = count * s.enc1;
      RunProducts({enc1});
      if (s.both) FirstLayersBeforeH(w, run, begin, count);
      WithSizes([&](auto sizes) {
        Queue(LstmRunKernel<T, decltype(sizes)>{.sizes = sizes,
                                                .w = w,
                                                .lifetimes = lifetimes,
                                                .steps = run.steps,
                                                .begin = begin,
                                                .count = count,
                                                .log_initial_std = run.log_initial_std,
                                                .enc1 = act_.enc1,
                                                .first = act_.first,
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
      kernels::Product<T> critic = ForwardProduct(
          act_.states, s.hidden, lifetimes * count, w.critic_w1 + s.seen() - s.hidden, s.seen(),
          s.hidden, s.critic, w.critic_b1, act_.critic, s.critic);
      critic.after = After::kTanh;
      if (s.both) Continue(&critic);
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
    groups_ = {.sizes = shape_.sizes,
               .rows = {.lifetimes = batch.lifetimes,
                        .steps = end - begin,
                        .group = shape_.group_lifetimes},
               .group_gradients = piece_.group_gradients};
    const kernels::LstmSlices<const T> w(shape_.sizes, weights);
    if (shape_.sizes.both) LaterSteps(w.later, batch, end);
    TrunkForward(w, groups_.rows, batch, begin, piece_.trunk, h, c);
    HeadsForward(w);
    ForEach(groups_.rows.Count(), StepLoss<T>{.loss = loss,
                                              .log_initial_std = shape_.log_initial_std,
                                              .rows = groups_.rows,
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
    ForEach(groups_.rows.Groups() * SumTerms::kTerms,
            SumTerms{.rows = groups_.rows, .terms = piece_.terms, .sums = &sums->pg});
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
  using Part = typename PieceGroups<T>::Part;
  using Rows = typename PieceGroups<T>::Rows;

  template <class F>
  void WithSizes(F&& f) {
    const kernels::LstmSizes& s = shape_.sizes;
    if (launcher_.has_clusters) {
      if (kernels::FixedLstmSizes<4>::Matches(s))
        return f(kernels::FixedLstmSizes<4>{s.features, s.both});
      if (kernels::FixedLstmSizes<5>::Matches(s))
        return f(kernels::FixedLstmSizes<5>{s.features, s.both});
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

  // Encoders and LSTM along the rows' steps, from `begin` on.
  void TrunkForward(const kernels::LstmTrunkSlices<const T>& w, const PieceRows& rows,
                    const LstmBatch<T>& batch, int64_t begin, const LstmTrunkMemory<T>& m, T* h,
                    T* c) {
    const kernels::LstmSizes& s = shape_.sizes;
    const int64_t count = rows.Count();
    ForEach(count * s.features, GatherFeatures<T>{s, rows, batch, begin, m.features, m.code1, m.z});
    kernels::Product<T> enc1 = ForwardProduct(m.features, s.features, count, w.enc1_w, s.features,
                                              s.features, s.enc1, w.enc1_b, m.code1, s.code1());
    enc1.after = After::kRelu;
    RunProducts({enc1});
    kernels::Product<T> enc2 = ForwardProduct(m.code1, s.code1(), count, w.enc2_w, s.code1(),
                                              s.code1(), s.enc2, w.enc2_b, m.z, s.code2());
    enc2.after = After::kRelu;
    RunProducts({enc2});
    // The gates before h; h continues their chains.
    kernels::Product<T> gates = ForwardProduct(m.z, s.code2(), count, w.w_ih, s.code2(), s.code2(),
                                               4 * s.hidden, w.b_ih, m.gates, 4 * s.hidden);
    gates.bias2 = w.b_hh;
    RunProducts({gates});
    WithSizes([&](auto sizes) {
      Queue(CellsForwardKernel<T, decltype(sizes)>{.sizes = sizes,
                                                   .w_hh = w.w_hh,
                                                   .rows = rows,
                                                   .order = m.order,
                                                   .h = h,
                                                   .c = c,
                                                   .gates = m.gates,
                                                   .h_rows = m.h,
                                                   .c_rows = m.c,
                                                   .tanh_c_rows = m.tanh_c,
                                                   .heads_rows = m.heads_rows,
                                                   .scratch = m.scratch});
    });
  }

  // The LSTM that runs backward fills run.later: [S, steps, H] for each kernel of acting.
  void RunLater(const kernels::LstmTrunkSlices<const T>& w, const LstmRun<T>& run) {
    const LstmBatch<T> reversed = {
        .lifetimes = run.lifetimes, .steps = run.steps, .features = run.later_features};
    LstmTrunkMemory<T> m = piece_.later;
    m.order.begins = true;
    for (int64_t begin = (run.steps - 1) / act_.kSteps * act_.kSteps; begin >= 0;
         begin -= act_.kSteps) {
      const int64_t count = std::min(act_.kSteps, run.steps - begin);
      m.heads_rows = run.later + run.lifetimes * begin * shape_.sizes.hidden;
      TrunkForward(w, {.lifetimes = run.lifetimes, .steps = count, .group = 1}, reversed,
                   run.steps - begin - count, m, m.h_now, m.c_now);
      m.order.begins = false;
    }
  }
  // The heads' first layers of `count` steps of a segment, before h continues their chains.
  void FirstLayersBeforeH(const kernels::LstmSlices<const T>& w, const LstmRun<T>& run,
                          int64_t begin, int64_t count) {
    const kernels::LstmSizes& s = shape_.sizes;
    const int64_t rows = run.lifetimes * count, policy = 2 * s.heads;
    const T* later = run.later + run.lifetimes * begin * s.hidden;
    const auto first = [&](const T* weights, int64_t columns, const T* bias, T* to,
                           int64_t to_row) {
      return ForwardProduct(later, s.hidden, rows, weights, s.seen(), s.hidden, columns, bias, to,
                            to_row);
    };
    RunProducts({first(w.mean_w1, s.heads, w.mean_b1, act_.first, policy),
                 first(w.logstd_w1, s.heads, w.logstd_b1, act_.first + s.heads, policy)});
    if (run.noise) RunProducts({first(w.critic_w1, s.critic, w.critic_b1, act_.critic, s.critic)});
  }

  // Brings the LSTM that runs backward to the piece's last step, and through the piece.
  void LaterSteps(const kernels::LstmTrunkSlices<const T>& w, const LstmBatch<T>& batch,
                  int64_t end) {
    const LstmBatch<T> reversed = {
        .lifetimes = batch.lifetimes, .steps = batch.steps, .features = batch.later_features};
    const int64_t whole = kernels::CeilDiv(end, shape_.whole_steps) * shape_.whole_steps;
    const int64_t last = batch.steps - end;
    LstmTrunkMemory<T> m = piece_.later;
    m.order.begins = true;
    PieceRows rows = groups_.rows;
    for (int64_t first = batch.steps - std::min(batch.steps, whole); first < last;
         first += rows.steps) {
      rows.steps = std::min(last - first, piece_.LaterSteps(shape_));
      TrunkForward(w, rows, reversed, first, m, m.h_now, m.c_now);
      m.order.begins = false;
    }
    TrunkForward(w, groups_.rows, reversed, last, m, m.h_now, m.c_now);
  }

  void HeadsForward(const kernels::LstmSlices<const T>& w) {
    const kernels::LstmSizes& s = shape_.sizes;
    const int64_t rows = groups_.rows.Count(), heads = s.heads;
    if (s.both) FirstLayers(w, piece_.later, 0);
    FirstLayers(w, piece_.trunk, s.seen() - s.hidden);
    kernels::Product<T> second = ForwardProduct(piece_.first, s.first(), rows, w.mean_w2, heads,
                                                heads, heads, w.mean_b2, piece_.second, heads);
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
  // The heads' first layers, of what they see from column `from` on. The last columns end them.
  void FirstLayers(const kernels::LstmSlices<const T>& w, const LstmTrunkMemory<T>& m,
                   int64_t from) {
    const kernels::LstmSizes& s = shape_.sizes;
    kernels::ProductKernel<T> first;
    for (const Part& part : groups_.Parts()) {
      const Rows h = groups_.StatesAfter(part, m);
      const auto add = [&](const T* weights, const T* bias, int64_t columns, int64_t to) {
        kernels::Product<T> p =
            ForwardProduct(h.x, h.row, part.rows, weights + from, s.seen(), s.hidden, columns, bias,
                           piece_.first + part.first_row * s.first() + to, s.first());
        if (from > 0) Continue(&p);
        if (from + s.hidden == s.seen()) p.after = After::kTanh;
        p.batches = part.groups;
        p.a_batch = h.batch;
        p.c_batch = part.rows * s.first();
        first.products.Add(p);
      };
      add(w.mean_w1, w.mean_b1, s.heads, 0);
      add(w.logstd_w1, w.logstd_b1, s.heads, s.heads);
      add(w.critic_w1, w.critic_b1, s.critic, 2 * s.heads);
    }
    Queue(first);
  }

  void Backward(const T* weights, const kernels::LstmSlices<const T>& w) {
    HeadsBackward(weights, w);
    const int64_t after = shape_.sizes.seen() - shape_.sizes.hidden;
    TrunkBackward(w, w, piece_.trunk, after);
    if (shape_.sizes.both) TrunkBackward(w, w.later, piece_.later, 0);
    // Biases of the heads go with the first trunk.
    kernels::ColumnSumsKernel<T> biases;
    for (const Part& part : groups_.Parts()) HeadsBiasGradients(part, weights, w, &biases);
    TrunkGradients(weights, w, w, piece_.trunk, after, &biases);
    if (!shape_.sizes.both) return;
    kernels::ColumnSumsKernel<T> later;
    TrunkGradients(weights, w, w.later, piece_.later, 0, &later);
  }

  void HeadsBackward(const T* weights, const kernels::LstmSlices<const T>& w) {
    const kernels::LstmSizes& s = shape_.sizes;
    const int64_t rows = groups_.rows.Count(), heads = s.heads;
    const auto parts = groups_.Parts();

    // The outputs' weights: one chain over all rows of a group.
    kernels::ProductKernel<T> outputs;
    for (const Part& part : parts) {
      const auto add = [&](const T* dy, const T* x, int64_t x_row, int64_t columns, const T* of) {
        kernels::Product<T> p = groups_.WeightGradient(
            part, groups_.RowsOf(part, dy, 1), 1, groups_.RowsOf(part, x, x_row), columns,
            groups_.GradientOf(part, weights, of), columns);
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
      second.products.Add(
          groups_.WeightGradient(part, groups_.RowsOf(part, piece_.second, heads), heads,
                                 groups_.RowsOf(part, piece_.first, s.first()), heads,
                                 groups_.GradientOf(part, weights, w.mean_w2), heads));
    }
    Queue(second);
    kernels::Product<T> mean1 = ThroughWeights(piece_.second, heads, rows, w.mean_w2, heads, heads,
                                               heads, piece_.first, s.first());
    mean1.after = After::kTanhDerivative;
    RunProducts({mean1});
  }

  // From the heads' first layers, which see this h from column `from` on, to the first encoder.
  void TrunkBackward(const kernels::LstmSlices<const T>& heads,
                     const kernels::LstmTrunkSlices<const T>& w, const LstmTrunkMemory<T>& m,
                     int64_t from) {
    const kernels::LstmSizes& s = shape_.sizes;
    const int64_t rows = groups_.rows.Count(), hidden = s.hidden;
    // One chain through the three first layers.
    const auto through = [&](const T* first_layer, int64_t unit, int64_t inner) {
      kernels::Product<T> p =
          ThroughWeights(piece_.first + unit, s.first(), rows, first_layer + from, s.seen(), inner,
                         hidden, m.dh, hidden);
      p.continued = unit > 0;
      RunProducts({p});
    };
    through(heads.mean_w1, 0, s.heads);
    through(heads.logstd_w1, s.heads, s.heads);
    through(heads.critic_w1, 2 * s.heads, s.critic);

    WithSizes([&](auto sizes) {
      Queue(CellsBackwardKernel<T, decltype(sizes)>{.sizes = sizes,
                                                    .w_hh = w.w_hh,
                                                    .rows = groups_.rows,
                                                    .order = m.order,
                                                    .gates = m.gates,
                                                    .c_rows = m.c,
                                                    .tanh_c_rows = m.tanh_c,
                                                    .dh = m.dh,
                                                    .scratch = m.scratch});
    });
    // No gradient flows to the side inputs.
    kernels::Product<T> code = ThroughWeights(m.gates, 4 * hidden, rows, w.w_ih, s.code2(),
                                              4 * hidden, s.enc2, m.dcode, s.enc2);
    code.after = After::kWherePositive;
    code.gate = m.z;
    code.gate_row = s.code2();
    RunProducts({code});
    kernels::Product<T> enc1 =
        ThroughWeights(m.dcode, s.enc2, rows, w.enc2_w, s.code1(), s.enc2, s.enc1, m.denc1, s.enc1);
    enc1.after = After::kWherePositive;
    enc1.gate = m.code1;
    enc1.gate_row = s.code1();
    RunProducts({enc1});
  }

  // Weights of the trunk, and of the heads' first layers by this h, which they see from column
  // `from` on. Queues `biases` with those of the trunk.
  void TrunkGradients(const T* weights, const kernels::LstmSlices<const T>& heads,
                      const kernels::LstmTrunkSlices<const T>& w, const LstmTrunkMemory<T>& m,
                      int64_t from, kernels::ColumnSumsKernel<T>* biases) {
    const kernels::LstmSizes& s = shape_.sizes;
    const int64_t hidden = s.hidden;
    kernels::ProductKernel<T> kernel;
    for (const Part& part : groups_.Parts()) {
      const auto add = [&](const T* y, int64_t y_row, int64_t y_columns, const Rows& x,
                           int64_t x_columns, const T* of, int64_t of_row) {
        kernel.products.Add(groups_.WeightGradient(part, groups_.RowsOf(part, y, y_row), y_columns,
                                                   x, x_columns,
                                                   groups_.GradientOf(part, weights, of), of_row));
      };
      const auto of_trunk = [&](const T* y, int64_t columns, const Rows& x, int64_t x_columns,
                                const T* of) {
        add(y, columns, columns, x, x_columns, of, x_columns);
      };
      of_trunk(m.denc1, s.enc1, groups_.RowsOf(part, m.features, s.features), s.features, w.enc1_w);
      of_trunk(m.dcode, s.enc2, groups_.RowsOf(part, m.code1, s.code1()), s.code1(), w.enc2_w);
      of_trunk(m.gates, 4 * hidden, groups_.RowsOf(part, m.z, s.code2()), s.code2(), w.w_ih);
      of_trunk(m.gates, 4 * hidden, groups_.StatesBefore(part, m), hidden, w.w_hh);
      const Rows h = groups_.StatesAfter(part, m);
      const auto of_heads = [&](int64_t unit, int64_t columns, const T* of) {
        add(piece_.first + unit, s.first(), columns, h, hidden, of + from, s.seen());
      };
      of_heads(0, s.heads, heads.mean_w1);
      of_heads(s.heads, s.heads, heads.logstd_w1);
      of_heads(2 * s.heads, s.critic, heads.critic_w1);

      groups_.AddBias(part, weights, m.denc1, s.enc1, s.enc1, w.enc1_b, nullptr, biases);
      groups_.AddBias(part, weights, m.dcode, s.enc2, s.enc2, w.enc2_b, nullptr, biases);
      // Both biases enter together, so they share one sum.
      groups_.AddBias(part, weights, m.gates, 4 * hidden, 4 * hidden, w.b_ih, w.b_hh, biases);
    }
    Queue(kernel);
    Queue(*biases);
  }
  void HeadsBiasGradients(const Part& part, const T* weights, const kernels::LstmSlices<const T>& w,
                          kernels::ColumnSumsKernel<T>* biases) const {
    const kernels::LstmSizes& s = shape_.sizes;
    const auto add = [&](const T* y, int64_t y_row, int64_t columns, const T* of) {
      groups_.AddBias(part, weights, y, y_row, columns, of, nullptr, biases);
    };
    add(piece_.first, s.first(), s.heads, w.mean_b1);
    add(piece_.second, s.heads, s.heads, w.mean_b2);
    add(piece_.d_slopes, 1, 1, w.mean_b3);
    add(piece_.first + s.heads, s.first(), s.heads, w.logstd_b1);
    add(piece_.d_s, 1, 1, w.logstd_b2);
    add(piece_.first + 2 * s.heads, s.first(), s.critic, w.critic_b1);
    add(piece_.d_values, 1, 1, w.critic_b2);
  }
  void SumGradients(double* norm) {
    const int64_t size = shape_.sizes.NumWeights();
    T* gradient = fresh_ ? piece_.sum : piece_.gradient;
    ForEach(size, kernels::SumGroups<T>{.groups = piece_.group_gradients,
                                        .count = groups_.rows.Groups(),
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
  PieceGroups<T> groups_;  // The last piece.
  bool fresh_ = true;      // No piece since the last optimizer step.
};

}  // namespace mentor::signals
