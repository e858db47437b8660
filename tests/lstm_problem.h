// The LSTM signal network with made-up numbers, acting and in training. The CPU's kernels and an
// engine of phases (signals/lstm/lstm_engine.h) compute it, and must make the same bits. Without
// LibTorch.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "common/exact_math.h"
#include "common/rng.h"
#include "kernels/optimizer.h"
#include "signals/lstm/lstm_engine_phases.h"
#include "signals/lstm/lstm_piece.h"
#include "signals/lstm/lstm_run.h"

namespace mentor::testing {

inline kernels::LstmSizes DefaultLstm(int64_t side = 4) {
  return {.features = 39 + 4 + side, .side = side};
}
inline kernels::LstmSizes OddLstm() {
  return {.features = 7, .side = 4, .enc1 = 5, .enc2 = 3, .hidden = 6, .heads = 9, .critic = 11};
}
inline kernels::LstmSizes SmallestLstm() {
  return {.features = 6, .side = 4, .enc1 = 1, .enc2 = 1, .hidden = 1, .heads = 1, .critic = 1};
}

// The same with a second LSTM that runs backward.
inline kernels::LstmSizes Both(kernels::LstmSizes sizes) {
  sizes.both = true;
  return sizes;
}

template <typename T>
std::vector<T> NormalNumbers(uint32_t number, int64_t size, double scale) {
  std::vector<double> values(static_cast<size_t>(size));
  RandomStream{.seed = 11}.Normals(number, values);
  for (double& x : values) x *= scale;
  return {values.begin(), values.end()};
}

// The last features of the LSTM that runs backward, [N, steps, width] in its order: it begins anew
// at the end of each `whole` steps, and elsewhere by chance.
template <typename T>
void MarkBegins(int64_t steps, int64_t width, int64_t whole, std::vector<T>* features) {
  for (int64_t row = 0; row < static_cast<int64_t>(features->size()) / width; ++row) {
    const bool begins = (steps - row % steps) % whole == 0 || row * 2654435761 % 7 == 0;
    (*features)[(row + 1) * width - 1] = begins ? T(2) : T(0);
  }
}

// Zeros of both signs, numbers whose products are not normal, and ordinary ones.
template <typename T>
void MakeSmall(std::vector<T>* x) {
  const T denormal = std::numeric_limits<T>::denorm_min() * 1000;
  const T root = std::sqrt(std::numeric_limits<T>::min()) / 16;
  for (size_t i = 0; i < x->size(); ++i) {
    T& value = (*x)[i];
    const T sign = value < 0 ? T(-1) : T(1);
    const size_t kind = i * 2654435761u % 97;
    value = kind < 40 ? sign * T(0) : kind < 60 ? sign * denormal : kind < 80 ? sign * root : value;
  }
}

// True for equal bits; the kind of a NaN depends on the processor.
template <typename T>
bool SameBits(const std::vector<T>& a, const std::vector<T>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const T& x, const T& y) {
    return (std::isnan(x) && std::isnan(y)) || std::memcmp(&x, &y, sizeof(T)) == 0;
  });
}

// An engine and its memory. Unwritten numbers are NaN.
template <typename T, class Launcher>
class EngineWithMemory {
 public:
  EngineWithMemory(const signals::LstmEngineShape& shape, Launcher launcher)
      : memory_(signals::LstmEngineBytes<T>(shape) / sizeof(Block)),
        engine_(shape, Fill(), launcher) {}
  auto* operator->() { return &engine_; }

 private:
  void* Fill() {
    std::memset(static_cast<void*>(memory_.data()), 0xff, memory_.size() * sizeof(Block));
    return memory_.data();
  }

  struct alignas(256) Block {
    unsigned char bytes[256];
  };
  std::vector<Block> memory_;
  signals::LstmEngineOn<T, Launcher> engine_;
};

constexpr double kInitialStd = 0.2;

// Two segments, one after the other.
template <typename T>
struct LstmActing {
  kernels::LstmSizes sizes;
  int64_t lifetimes = 0, steps = 0;
  bool with_noise = true;
  std::vector<T> weights = NormalNumbers<T>(1, sizes.NumWeights(), 0.15);
  std::vector<T> features = NormalNumbers<T>(2, lifetimes* steps* sizes.features, 1);
  std::vector<T> noise = NormalNumbers<T>(3, lifetimes* steps, 1);
  std::vector<T> later_features = NormalNumbers<T>(10, lifetimes* steps* sizes.features, 1);

  // Returns the first difference between the CPU's kernels and an engine, or "".
  template <class Launcher>
  std::string Difference(Launcher launcher) {
    // The network makes the previous signals itself.
    for (int64_t i = sizes.features - 1; i < static_cast<int64_t>(features.size());
         i += sizes.features)
      features[i] = 0;
    MarkBegins(steps, sizes.features, steps, &later_features);
    const kernels::LstmForwardWeights<T> packed(sizes, weights.data());
    const Outputs want = Run([&](const auto& run) {
      signals::RunLstm(packed, run);
      return true;
    });
    EngineWithMemory<T, Launcher> engine({.sizes = sizes, .lifetimes = lifetimes}, launcher);
    const Outputs got = Run([&](const auto& run) { return engine->Act(weights.data(), run).ok(); });
    if (!got.ok) return "status";
    if (!SameBits(got.signals, want.signals)) return "signals";
    if (!SameBits(got.log_probs, want.log_probs)) return "log_probs";
    if (!SameBits(got.values, want.values)) return "values";
    if (!SameBits(got.h, want.h)) return "h";
    if (!SameBits(got.c, want.c)) return "c";
    return SameBits(got.previous, want.previous) ? "" : "previous";
  }

 private:
  struct Outputs {
    std::vector<T> h, c, previous, signals, log_probs, values;
    bool ok = true;
  };
  template <class Act>
  Outputs Run(const Act& act) const {
    const int64_t size = lifetimes * steps;
    const std::vector<T> nothing(2 * size);
    std::vector<T> later(sizes.both ? size * sizes.hidden : 0, std::numeric_limits<T>::quiet_NaN());
    Outputs out{.h = NormalNumbers<T>(4, lifetimes * sizes.hidden, 0.3),
                .c = NormalNumbers<T>(5, lifetimes * sizes.hidden, 0.5),
                .previous = NormalNumbers<T>(6, lifetimes, 0.3),
                .signals = nothing,
                .log_probs = nothing,
                .values = nothing};
    for (int64_t i = 0; i < 2 * size; i += size) {
      const signals::LstmRun<T> run = {.lifetimes = lifetimes,
                                       .steps = steps,
                                       .log_initial_std = exact::Log(kInitialStd),
                                       .features = features.data(),
                                       .noise = with_noise ? noise.data() : nullptr,
                                       .later_features = later_features.data(),
                                       .h = out.h.data(),
                                       .c = out.c.data(),
                                       .previous = out.previous.data(),
                                       .signals = out.signals.data() + i,
                                       .log_probs = out.log_probs.data() + i,
                                       .values = out.values.data() + i,
                                       .later = later.data()};
      out.ok &= act(run);
    }
    return out;
  }
};

struct LstmTrainingShape {
  kernels::LstmSizes sizes;
  int64_t lifetimes = 0, steps = 0, group = 0;  // Steps of a piece; lifetimes of a group.
  bool cut = false;                             // Pieces begin with other features.
  // With sizes.both: at the end of each so many steps the LSTM that runs backward begins anew.
  int64_t whole = 1;
};

// Outer PPO on two pieces of lifetimes, whose gradients make one optimizer step; then once more.
template <typename T>
class LstmTraining {
 public:
  const LstmTrainingShape shape;
  std::vector<T> weights, features, cut_features, later_features, signals, log_probs, h, c;
  std::vector<double> advantages, targets;

  explicit LstmTraining(const LstmTrainingShape& s)
      : shape(s),
        weights(NormalNumbers<T>(1, s.sizes.NumWeights(), 0.15)),
        features(NormalNumbers<T>(2, AllRows() * s.sizes.features, 1)),
        cut_features(NormalNumbers<T>(3, AllRows() * s.sizes.features, 1)),
        later_features(NormalNumbers<T>(10, AllRows() * s.sizes.features, 1)),
        signals(NormalNumbers<T>(4, AllRows(), 0.3)),
        log_probs(NormalNumbers<T>(5, AllRows(), 0.5)),
        h(NormalNumbers<T>(8, s.lifetimes * s.sizes.hidden, 0.3)),
        c(NormalNumbers<T>(9, s.lifetimes * s.sizes.hidden, 0.5)),
        advantages(NormalNumbers<double>(6, AllRows(), 1)),
        targets(NormalNumbers<double>(7, AllRows(), 1)) {
    MarkBegins(kPieces * s.steps, s.sizes.features, s.whole, &later_features);
  }

  // Returns the first difference between the CPU's kernels and an engine, or "".
  template <class Launcher>
  std::string Difference(Launcher launcher) {
    const State want = OnCpu(), got = OnEngine(launcher);
    if (!got.ok) return "status";
    if (!SameBits(got.log_probs, want.log_probs)) return "log_probs";
    if (!SameBits(got.values, want.values)) return "values";
    if (!SameBits(got.h, want.h)) return "h";
    if (!SameBits(got.c, want.c)) return "c";
    if (!SameBits(got.sums, want.sums)) return "sums";
    if (!SameBits(got.group_gradients, want.group_gradients)) return "group_gradients";
    if (!SameBits(got.gradients, want.gradients)) return "gradients";
    if (!SameBits(got.norms, want.norms)) return "norms";
    if (!SameBits(got.weights, want.weights)) return "weights";
    if (!SameBits(got.m, want.m)) return "m";
    norms = want.norms;
    return SameBits(got.v, want.v) ? "" : "v";
  }

  std::vector<double> norms;  // Norms of the pieces' gradients.

 private:
  static constexpr int64_t kPieces = 4;
  static constexpr kernels::OuterLossConfig kLoss = {};
  static constexpr kernels::AdamConfig kAdam = {.learning_rate = 1e-2};
  static constexpr double kMaxGradNorm = 0.5;

  struct State {
    std::vector<T> weights, m, v, h, c;
    // Over all pieces.
    std::vector<T> log_probs = {}, values = {}, group_gradients = {}, gradients = {};
    std::vector<double> sums = {}, norms = {};
    bool ok = true;
  };

  int64_t AllRows() const { return shape.lifetimes * kPieces * shape.steps; }
  State Begin() const {
    return {.weights = weights,
            .m = std::vector<T>(weights.size()),
            .v = std::vector<T>(weights.size()),
            .h = h,
            .c = c};
  }
  template <typename X>
  static void Append(std::vector<X>* to, const X* from, int64_t size) {
    to->insert(to->end(), from, from + size);
  }
  static void Append(std::vector<double>* to, const kernels::OuterLossTerms& x) {
    for (const double term : {x.pg, x.entropy, x.value, x.kl, x.clipped, x.rho_error})
      to->push_back(term);
  }

  State OnCpu() const {
    State x = Begin();
    const auto size = static_cast<int64_t>(weights.size());
    std::vector<T> sum;
    for (int64_t piece = 0; piece < kPieces; ++piece) {
      std::vector<T> gradient;
      for (int64_t first = 0; first < shape.lifetimes; first += shape.group) {
        const std::vector<T> group = GroupGradient(piece, first, &x);
        Append(&x.group_gradients, group.data(), size);
        Add(group, first == 0, &gradient);
      }
      Append(&x.gradients, gradient.data(), size);
      x.norms.push_back(std::sqrt(kernels::SquaredNorm<T>(gradient)));
      Add(gradient, piece % 2 == 0, &sum);
      if (piece % 2 == 0) continue;
      const double norm = std::sqrt(kernels::SquaredNorm<T>(sum));
      kernels::AdamStepInPlace<T>(kAdam, piece / 2 + 1, kernels::ClipScale(norm, kMaxGradNorm), sum,
                                  x.weights.data(), x.m.data(), x.v.data());
    }
    return x;
  }
  static void Add(const std::vector<T>& x, bool first, std::vector<T>* sum) {
    if (first) {
      *sum = x;
      return;
    }
    for (size_t i = 0; i < x.size(); ++i) (*sum)[i] += x[i];
  }

  std::vector<T> GroupGradient(int64_t piece, int64_t first, State* x) const {
    const int64_t count = std::min(shape.group, shape.lifetimes - first);
    const int64_t rows = count * shape.steps, width = shape.sizes.features;
    const auto at = [&](int64_t row) {
      return (first + row % count) * kPieces * shape.steps + piece * shape.steps + row / count;
    };
    std::vector<T> piece_features, piece_signals;
    for (int64_t r = 0; r < rows; ++r) {
      const auto& from = shape.cut && r < count ? cut_features : features;
      Append(&piece_features, from.data() + at(r) * width, width);
      piece_signals.push_back(signals[at(r)]);
    }
    // The piece and the steps after it, in the reverse order.
    const int64_t all = kPieces * shape.steps, end = (piece + 1) * shape.steps;
    const int64_t known = kernels::CeilDiv(end, shape.whole) * shape.whole;
    std::vector<T> piece_later;
    for (int64_t u = all - known; u < all - piece * shape.steps; ++u) {
      for (int64_t l = first; l < first + count; ++l)
        Append(&piece_later, later_features.data() + (l * all + u) * width, width);
    }
    T* h_of = x->h.data() + first * shape.sizes.hidden;
    T* c_of = x->c.data() + first * shape.sizes.hidden;
    kernels::OuterLossTerms sums;
    std::vector<T> gradient(x->weights.size());
    signals::LstmPiece<T> lstm;
    lstm.Run(
        signals::LstmTrainingWeights<T>(shape.sizes, x->weights.data()),
        {.lifetimes = count,
         .steps = shape.steps,
         .log_initial_std = exact::Log(kInitialStd),
         .features = piece_features.data(),
         .signals = piece_signals.data(),
         .later_steps = known - end,
         .later_features = piece_later.data(),
         .h = h_of,
         .c = c_of},
        [&](int64_t lifetime, int64_t step, const kernels::StepTerms& now) {
          const int64_t i = at(step * count + lifetime);
          const auto [terms, derivatives] = kernels::EvaluateOuterStep(
              kLoss, static_cast<double>(shape.lifetimes * shape.steps), now,
              {.log_prob = log_probs[i], .advantage = advantages[i], .target = targets[i]});
          kernels::AddTerms(terms, &sums);
          x->log_probs.push_back(static_cast<T>(now.log_prob));
          x->values.push_back(static_cast<T>(now.value));
          return derivatives;
        },
        gradient.data());
    lstm.CopyFinalState(h_of, c_of);
    Append(&x->sums, sums);
    return gradient;
  }

  template <class Launcher>
  State OnEngine(Launcher launcher) const {
    State x = Begin();
    const signals::LstmBatch<T> batch = {.lifetimes = shape.lifetimes,
                                         .steps = kPieces * shape.steps,
                                         .features = features.data(),
                                         .cut_features = shape.cut ? cut_features.data() : nullptr,
                                         .later_features = later_features.data(),
                                         .signals = signals.data(),
                                         .log_probs = log_probs.data(),
                                         .advantages = advantages.data(),
                                         .targets = targets.data()};
    EngineWithMemory<T, Launcher> engine({.sizes = shape.sizes,
                                          .log_initial_std = exact::Log(kInitialStd),
                                          .lifetimes = shape.lifetimes,
                                          .piece_steps = shape.steps,
                                          .group_lifetimes = shape.group,
                                          .whole_steps = shape.whole},
                                         launcher);
    const int64_t rows = shape.lifetimes * shape.steps;
    const int64_t groups = kernels::CeilDiv(shape.lifetimes, shape.group);
    const auto size = static_cast<int64_t>(weights.size());
    const signals::LstmPieceMemory<T>& memory = engine->piece();
    for (int64_t piece = 0; piece < kPieces; ++piece) {
      std::vector<kernels::OuterLossTerms> sums(groups);
      double norm = 0;
      x.ok &=
          engine
              ->TrainPiece(kLoss, x.weights.data(), batch, piece * shape.steps,
                           (piece + 1) * shape.steps, x.h.data(), x.c.data(), sums.data(), &norm)
              .ok();
      Append(&x.log_probs, memory.log_probs, rows);
      Append(&x.values, memory.values, rows);
      Append(&x.group_gradients, memory.group_gradients, groups * size);
      Append(&x.gradients, piece % 2 == 0 ? memory.sum : memory.gradient, size);
      for (const kernels::OuterLossTerms& terms : sums) Append(&x.sums, terms);
      x.norms.push_back(norm);
      if (piece % 2 == 0) continue;
      x.ok &= engine
                  ->ClipAndStep(kAdam, piece / 2 + 1, kMaxGradNorm, x.weights.data(), x.m.data(),
                                x.v.data())
                  .ok();
    }
    return x;
  }
};

}  // namespace mentor::testing
