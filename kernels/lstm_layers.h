// Layers of the LSTM signal network on rows of arrays (methods/black_box/README.md#the-network).
// Acting (lstm_run) and training (lstm_piece) share them, so both make the same bits: the ratio of
// densities at unchanged weights is exactly 1. Pure; threads may share.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/lanes.h"
#include "kernels/lstm_weights.h"
#include "kernels/signal_distribution.h"

namespace mentor::kernels {

// Activates a row of 4 H gates i, f, g, o, then computes c_t, tanh(c_t) and h_t. c may be
// c_previous. more(j, access, c) returns c_t with whatever else the cell is given.
template <typename T, typename More>
[[gnu::always_inline]] inline void CellForward(int64_t hidden, T* gates, const T* c_previous, T* c,
                                               T* tanh_c, T* h, More&& more) {
  ForLanes<T>(hidden, [&](int64_t j, auto at) {
    const Lanes<T> i = Sigmoid(at.Load(gates + j));
    const Lanes<T> f = Sigmoid(at.Load(gates + hidden + j));
    const Lanes<T> g = Tanh(at.Load(gates + 2 * hidden + j));
    const Lanes<T> o = Sigmoid(at.Load(gates + 3 * hidden + j));
    at.Store(gates + j, i);
    at.Store(gates + hidden + j, f);
    at.Store(gates + 2 * hidden + j, g);
    at.Store(gates + 3 * hidden + j, o);
    const Lanes<T> next = more(j, at, Fma(f, at.Load(c_previous + j), i * g));
    const Lanes<T> squashed = Tanh(next);
    at.Store(c + j, next);
    at.Store(tanh_c + j, squashed);
    at.Store(h + j, o * squashed);
  });
}
template <typename T>
void CellForward(int64_t hidden, T* gates, const T* c_previous, T* c, T* tanh_c, T* h) {
  CellForward<T>(hidden, gates, c_previous, c, tanh_c, h,
                 [](int64_t, auto, Lanes<T> next) { return next; });
}
// With a fifth gate, the last H of the row's 5 H: c_t = i g + f c_{t-1} + r reinstated
// (methods/rl2/README.md#episodic-memory).
template <typename T>
void CellForward(int64_t hidden, T* gates, const T* reinstated, const T* c_previous, T* c,
                 T* tanh_c, T* h) {
  T* const gate = gates + 4 * hidden;
  CellForward<T>(hidden, gates, c_previous, c, tanh_c, h,
                 [&](int64_t j, auto at, Lanes<T> next) -> Lanes<T> {
                   const Lanes<T> r = Sigmoid(at.Load(gate + j));
                   at.Store(gate + j, r);
                   return Fma(r, at.Load(reinstated + j), next);
                 });
}

// Turns activated gates into the loss's derivatives before activation; dc goes from step t to step
// t - 1. also(j, access, dc_t) sees the derivative by c_t.
template <typename T, typename Also>
[[gnu::always_inline]] inline void CellBackward(int64_t hidden, T* gates, const T* c_previous,
                                                const T* tanh_c, const T* dh, T* dc, Also&& also) {
  const Lanes<T> one = Fill(T(1));
  ForLanes<T>(hidden, [&](int64_t j, auto at) {
    const Lanes<T> i = at.Load(gates + j), f = at.Load(gates + hidden + j);
    const Lanes<T> g = at.Load(gates + 2 * hidden + j), o = at.Load(gates + 3 * hidden + j);
    const Lanes<T> squashed = at.Load(tanh_c + j), dh_j = at.Load(dh + j);
    const Lanes<T> dnext = at.Load(dc + j) + dh_j * o * (one - squashed * squashed);
    at.Store(gates + j, dnext * g * i * (one - i));
    at.Store(gates + hidden + j, dnext * at.Load(c_previous + j) * f * (one - f));
    at.Store(gates + 2 * hidden + j, dnext * i * (one - g * g));
    at.Store(gates + 3 * hidden + j, dh_j * squashed * o * (one - o));
    at.Store(dc + j, dnext * f);
    also(j, at, dnext);
  });
}
template <typename T>
void CellBackward(int64_t hidden, T* gates, const T* c_previous, const T* tanh_c, const T* dh,
                  T* dc) {
  CellBackward<T>(hidden, gates, c_previous, tanh_c, dh, dc, [](int64_t, auto, Lanes<T>) {});
}
// With the fifth gate; the reinstated cell is a constant.
template <typename T>
void CellBackward(int64_t hidden, T* gates, const T* reinstated, const T* c_previous,
                  const T* tanh_c, const T* dh, T* dc) {
  T* const gate = gates + 4 * hidden;
  CellBackward<T>(hidden, gates, c_previous, tanh_c, dh, dc,
                  [&](int64_t j, auto at, Lanes<T> dnext) {
                    const Lanes<T> r = at.Load(gate + j);
                    at.Store(gate + j, dnext * at.Load(reinstated + j) * r * (Fill(T(1)) - r));
                  });
}

template <typename T>
void TanhInPlace(T* x, int64_t n) {
  ForLanes<T>(n, [&](int64_t j, auto at) { at.Store(x + j, Tanh(at.Load(x + j))); });
}

// code1 = [relu(enc1 + w y), q]: `enc1` is the first layer's output without the previous signal y;
// w is the column of weights for y.
template <typename T>
void FinishFirstEncoder(const LstmTrunkWeights<T>& weights, const T* enc1, const T* side,
                        T previous, T* code1) {
  const int64_t n = weights.sizes.enc1;
  ForLanes<T>(n, [&](int64_t j, auto at) {
    at.Store(code1 + j, MaxWithZero(Fma(at.Load(weights.enc1_previous.data() + j), Fill(previous),
                                        at.Load(enc1 + j))));
  });
  const int64_t num_side = weights.sizes.side;
  std::copy_n(side, num_side - 1, code1 + n);
  code1[n + num_side - 1] = previous;
}

// z = [relu(enc2), q] from rows of code1; z begins each row of `joint`.
template <typename T>
void SecondEncoder(const LstmTrunkWeights<T>& weights, const T* code1, int64_t rows, T* joint) {
  const LstmSizes& sizes = weights.sizes;
  Multiply(code1, sizes.code1(), rows, weights.enc2, weights.enc2_b.data(), joint, sizes.joint());
  for (int64_t r = 0; r < rows; ++r) {
    T* z = joint + r * sizes.joint();
    ForLanes<T>(sizes.enc2,
                [&](int64_t j, auto at) { at.Store(z + j, MaxWithZero(at.Load(z + j))); });
    std::copy_n(code1 + r * sizes.code1() + sizes.enc1, sizes.side, z + sizes.enc2);
  }
}

// Hidden layers of the policy heads on rows of what they see (LstmSizes::seen): first [rows, 2 M]
// at `first_stride`, second [rows, M]. Then the two outputs: the arc tangent of `slope` is the
// mean; e^s times initial_std is the standard deviation.
template <typename T>
void PolicyHeads(const LstmForwardWeights<T>& weights, const T* seen, int64_t seen_stride,
                 int64_t rows, T* first, int64_t first_stride, T* second, T* slope, T* s) {
  const int64_t heads = weights.sizes.heads;
  Multiply(seen, seen_stride, rows, weights.policy1, weights.policy1_b.data(), first, first_stride);
  for (int64_t r = 0; r < rows; ++r) TanhInPlace(first + r * first_stride, 2 * heads);
  Multiply(first, first_stride, rows, weights.mean2, weights.mean2_b.data(), second, heads);
  TanhInPlace(second, rows * heads);
  Dot(second, heads, rows, weights.mean3.data(), heads, weights.mean3_b, slope, 1);
  Dot(first + heads, first_stride, rows, weights.logstd2.data(), heads, weights.logstd2_b, s, 1);
}

// Hidden layer [rows, C] and values.
template <typename T>
void Critic(const LstmForwardWeights<T>& weights, const T* seen, int64_t seen_stride, int64_t rows,
            T* first, int64_t first_stride, T* values) {
  Multiply(seen, seen_stride, rows, weights.critic1, weights.critic1_b.data(), first, first_stride);
  for (int64_t r = 0; r < rows; ++r) TanhInPlace(first + r * first_stride, weights.sizes.critic);
  Dot(first, first_stride, rows, weights.critic2.data(), weights.sizes.critic, weights.critic2_b,
      values, 1);
}

}  // namespace mentor::kernels
