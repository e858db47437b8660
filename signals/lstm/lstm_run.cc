#include "signals/lstm/lstm_run.h"

#include <algorithm>

#include "kernels/lstm_layers.h"
#include "signals/lstm/lstm_trunk.h"

namespace mentor::signals {
namespace {

// Steps whose first layers, and whose values, are computed together. Changes no bit.
constexpr int64_t kChunk = 16;
// Rows of the critic's hidden layer that stay in the first cache levels between its layers.
constexpr int64_t kCriticRows = 48;

// Fills run.later.
template <typename T>
void RunLater(const kernels::LstmTrunkWeights<T>& weights, const LstmRun<T>& run) {
  const int64_t lifetimes = run.lifetimes, hidden = weights.sizes.hidden;
  const int64_t width = weights.sizes.features;
  LstmTrunk<T> trunk;
  kernels::AlignedVector<T> features(kChunk * lifetimes * width);
  kernels::AlignedVector<T> h(lifetimes * hidden), c(lifetimes * hidden);
  for (int64_t begin = 0; begin < run.steps; begin += kChunk) {
    const int64_t steps = std::min(kChunk, run.steps - begin);
    for (int64_t row = 0; row < steps * lifetimes; ++row) {
      std::copy_n(
          run.later_features + (row % lifetimes * run.steps + begin + row / lifetimes) * width,
          width, features.data() + row * width);
    }
    trunk.Run(weights, {.lifetimes = lifetimes,
                        .steps = steps,
                        .features = features.data(),
                        .h = h.data(),
                        .c = c.data(),
                        .begins_anew = true});
    trunk.CopyFinalState(h.data(), c.data());
    for (int64_t row = 0; row < steps * lifetimes; ++row) {
      const int64_t step = run.steps - 1 - begin - row / lifetimes;
      std::copy_n(trunk.h() + row * trunk.h_stride(), hidden,
                  run.later + (row % lifetimes * run.steps + step) * hidden);
    }
  }
}

}  // namespace

template <typename T>
void RunLstm(const kernels::LstmForwardWeights<T>& weights, const LstmRun<T>& run) {
  const kernels::LstmSizes& sizes = weights.sizes;
  const int64_t lifetimes = run.lifetimes, hidden = sizes.hidden, features = sizes.features;
  const int64_t seen = sizes.seen();
  kernels::AlignedVector<T> enc1(lifetimes * kChunk * sizes.enc1);  // [S, chunk, enc1]
  kernels::AlignedVector<T> code1(lifetimes * sizes.code1());
  kernels::AlignedVector<T> joint(lifetimes * sizes.joint());
  kernels::AlignedVector<T> gates(lifetimes * 4 * hidden);
  kernels::AlignedVector<T> tanh_c(hidden);
  kernels::AlignedVector<T> states(kChunk * lifetimes * seen);  // [chunk, S, seen]
  kernels::AlignedVector<T> first(lifetimes * 2 * sizes.heads), second(lifetimes * sizes.heads);
  kernels::AlignedVector<T> slope(lifetimes), s(lifetimes);
  kernels::AlignedVector<T> critic_first(kCriticRows * sizes.critic), values(kCriticRows);

  if (sizes.both) RunLater(*weights.later, run);
  for (int64_t l = 0; l < lifetimes; ++l)
    std::copy_n(run.h + l * hidden, hidden, joint.data() + l * sizes.joint() + sizes.code2());
  for (int64_t begin = 0; begin < run.steps; begin += kChunk) {
    const int64_t chunk = std::min(kChunk, run.steps - begin);
    for (int64_t l = 0; l < lifetimes; ++l) {
      kernels::Multiply(run.features + (l * run.steps + begin) * features, features, chunk,
                        weights.enc1, weights.enc1_b.data(), enc1.data() + l * kChunk * sizes.enc1,
                        sizes.enc1);
    }
    for (int64_t i = 0; i < chunk; ++i) {
      const int64_t t = begin + i;
      for (int64_t l = 0; l < lifetimes; ++l) {
        const T* side = run.features + (l * run.steps + t + 1) * features - sizes.side;
        kernels::FinishFirstEncoder(weights, enc1.data() + (l * kChunk + i) * sizes.enc1, side,
                                    run.previous[l], code1.data() + l * sizes.code1());
      }
      kernels::SecondEncoder(weights, code1.data(), lifetimes, joint.data());
      kernels::Multiply(joint.data(), sizes.joint(), lifetimes, weights.gates,
                        weights.gates_b.data(), gates.data(), 4 * hidden);
      T* state = states.data() + i * lifetimes * seen;
      for (int64_t l = 0; l < lifetimes; ++l) {
        T *c = run.c + l * hidden, *h = state + l * seen + seen - hidden;
        if (sizes.both)
          std::copy_n(run.later + (l * run.steps + t) * hidden, hidden, state + l * seen);
        kernels::CellForward(hidden, gates.data() + l * 4 * hidden, c, c, tanh_c.data(), h);
        std::copy_n(h, hidden, joint.data() + l * sizes.joint() + sizes.code2());
      }
      kernels::PolicyHeads(weights, state, seen, lifetimes, first.data(), 2 * sizes.heads,
                           second.data(), slope.data(), s.data());
      for (int64_t l = 0; l < lifetimes; ++l) {
        const int64_t at = l * run.steps + t;
        const kernels::SignalDistribution distribution(slope[l], s[l], run.log_initial_std);
        const T y = run.noise ? T(distribution.mean + distribution.std * run.noise[at])
                              : T(distribution.mean);
        run.signals[at] = run.previous[l] = y;
        if (run.noise) run.log_probs[at] = T(distribution.LogDensity(y));
      }
    }
    if (!run.noise) continue;
    for (int64_t row = 0; row < chunk * lifetimes; row += kCriticRows) {
      const int64_t rows = std::min(kCriticRows, chunk * lifetimes - row);
      kernels::Critic(weights, states.data() + row * seen, seen, rows, critic_first.data(),
                      sizes.critic, values.data());
      for (int64_t r = 0; r < rows; ++r) {
        run.values[(row + r) % lifetimes * run.steps + begin + (row + r) / lifetimes] = values[r];
      }
    }
  }
  for (int64_t l = 0; l < lifetimes; ++l) {
    std::copy_n(joint.data() + l * sizes.joint() + sizes.code2(), hidden, run.h + l * hidden);
  }
}

template void RunLstm(const kernels::LstmForwardWeights<float>&, const LstmRun<float>&);
template void RunLstm(const kernels::LstmForwardWeights<double>&, const LstmRun<double>&);

}  // namespace mentor::signals
