// The LSTM signal network as phases (learner/signals/lstm_engine.h) against the kernels of the CPU:
// the same bits, in whatever order the threads of a phase run.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "common/exact_math.h"
#include "common/rng.h"
#include "learner/kernels/optimizer.h"
#include "learner/signals/lstm_engine_phases.h"
#include "learner/signals/lstm_piece.h"
#include "learner/signals/lstm_run.h"
#include "tests/testing.h"

namespace mentor::learner {
namespace {

enum class ThreadOrder { kAscending, kDescending, kShuffled };

struct TestExecutor {
  bool clusters;
  ThreadOrder order;

  bool has_clusters() const { return clusters; }
  template <class Kernel>
  absl::Status Run(const Kernel& kernel) const {
    constexpr RandomStream kStream{.seed = 7};
    uint32_t phase = 0;
    Emulate(kernel, kernel.Clusters(), [&](std::vector<int>* threads) {
      ++phase;
      if (order == ThreadOrder::kDescending && threads->front() < threads->back())
        std::reverse(threads->begin(), threads->end());
      if (order != ThreadOrder::kShuffled) return;
      for (auto i = static_cast<uint32_t>(threads->size()); i > 1; --i)
        std::swap((*threads)[i - 1], (*threads)[kStream.Below(i, i, phase)]);
    });
    return absl::OkStatus();
  }
};

template <typename T>
std::vector<T> Normals(uint32_t number, int64_t size, double scale) {
  const RandomStream stream{.seed = 11};
  std::vector<double> values(static_cast<size_t>(size));
  stream.Normals(number, values);
  for (double& x : values) x *= scale;
  return {values.begin(), values.end()};
}

// Numbers that differ in their bits; all NaN are one.
template <typename T>
int64_t Differences(const T* got, const T* want, int64_t size) {
  int64_t count = 0;
  for (int64_t i = 0; i < size; ++i) {
    if (std::isnan(got[i]) && std::isnan(want[i])) continue;
    count += std::memcmp(got + i, want + i, sizeof(T)) != 0;
  }
  return count;
}
template <typename T>
int64_t Differences(const std::vector<T>& got, const std::vector<T>& want) {
  REQUIRE(got.size() == want.size());
  return Differences(got.data(), want.data(), static_cast<int64_t>(got.size()));
}

LstmSizes DefaultSizes(int64_t side) {
  return {.features = 39 + 4 + side, .side = side};
}
LstmSizes OddSizes() {
  return {.features = 7, .side = 4, .enc1 = 5, .enc2 = 3, .hidden = 6, .heads = 9, .critic = 11};
}
LstmSizes SmallestSizes() {
  return {.features = 6, .side = 4, .enc1 = 1, .enc2 = 1, .hidden = 1, .heads = 1, .critic = 1};
}

template <typename T>
struct Engine {
  Engine(const LstmEngineShape& shape, TestExecutor executor)
      : memory(LstmEngineBytes<T>(shape), 0xff), engine(shape, memory.data(), executor) {}

  AlignedVector<unsigned char> memory;
  LstmEngineOn<T, TestExecutor> engine;
};

struct RunCase {
  LstmSizes sizes;
  int64_t lifetimes, steps;
  bool noise = true;
  TestExecutor executor = {true, ThreadOrder::kAscending};
};

// Two segments, one after the other.
template <typename T>
void CheckRun(const RunCase& run_case, const std::vector<T>& weights,
              const std::vector<T>& features) {
  const auto [sizes, lifetimes, steps, with_noise, executor] = run_case;
  const double log_initial_std = exact::Log(0.2);
  const auto noise = Normals<T>(3, lifetimes * steps, 1);
  struct Outputs {
    std::vector<T> h, c, previous, signals, log_probs, values;
  };
  const auto run = [&](auto&& act) {
    const auto size = static_cast<size_t>(lifetimes * steps);
    Outputs out{.h = Normals<T>(4, lifetimes * sizes.hidden, 0.3),
                .c = Normals<T>(5, lifetimes * sizes.hidden, 0.5),
                .previous = Normals<T>(6, lifetimes, 0.3),
                .signals = std::vector<T>(2 * size),
                .log_probs = std::vector<T>(2 * size),
                .values = std::vector<T>(2 * size)};
    for (size_t i = 0; i < 2 * size; i += size) {
      act(LstmRun<T>{.lifetimes = lifetimes,
                     .steps = steps,
                     .log_initial_std = log_initial_std,
                     .features = features.data(),
                     .noise = with_noise ? noise.data() : nullptr,
                     .h = out.h.data(),
                     .c = out.c.data(),
                     .previous = out.previous.data(),
                     .signals = out.signals.data() + i,
                     .log_probs = out.log_probs.data() + i,
                     .values = out.values.data() + i});
    }
    return out;
  };
  const Outputs want =
      run([&](const LstmRun<T>& r) { RunLstm(LstmForwardWeights<T>(sizes, weights.data()), r); });
  Engine<T> engine({.sizes = sizes, .lifetimes = lifetimes}, executor);
  const Outputs got =
      run([&](const LstmRun<T>& r) { CHECK(engine.engine.Act(weights.data(), r).ok()); });
  CHECK(Differences(got.signals, want.signals) == 0);
  CHECK(Differences(got.log_probs, want.log_probs) == 0);
  CHECK(Differences(got.values, want.values) == 0);
  CHECK(Differences(got.h, want.h) == 0);
  CHECK(Differences(got.c, want.c) == 0);
  CHECK(Differences(got.previous, want.previous) == 0);
}

// The previous signal is 0 where the network makes it itself.
template <typename T>
std::vector<T> RunFeatures(const RunCase& c) {
  auto features = Normals<T>(2, c.lifetimes * c.steps * c.sizes.features, 1);
  for (size_t i = c.sizes.features - 1; i < features.size(); i += c.sizes.features) features[i] = 0;
  return features;
}

template <typename T>
void CheckRun(const RunCase& run_case) {
  CheckRun<T>(run_case, Normals<T>(1, run_case.sizes.NumWeights(), 0.15), RunFeatures<T>(run_case));
}

struct PieceCase {
  LstmSizes sizes;
  int64_t lifetimes, steps, group;
  TestExecutor executor = {true, ThreadOrder::kAscending};
  bool cut = false;
};

// Outer PPO on two pieces of lifetimes, whose gradients make one optimizer step; and again.
template <typename T>
struct Training {
  explicit Training(const PieceCase& c)
      : sizes(c.sizes),
        weights(Normals<T>(1, sizes.NumWeights(), 0.15)),
        m(weights.size()),
        v(weights.size()),
        features(Normals<T>(2, c.lifetimes * kPieces * c.steps * sizes.features, 1)),
        cut_features(Normals<T>(3, c.lifetimes * kPieces * c.steps * sizes.features, 1)),
        signals(Normals<T>(4, c.lifetimes * kPieces * c.steps, 0.3)),
        log_probs(Normals<T>(5, c.lifetimes * kPieces * c.steps, 0.5)),
        advantages(Normals<double>(6, c.lifetimes * kPieces * c.steps, 1)),
        targets(Normals<double>(7, c.lifetimes * kPieces * c.steps, 1)),
        h(Normals<T>(8, c.lifetimes * sizes.hidden, 0.3)),
        c(Normals<T>(9, c.lifetimes * sizes.hidden, 0.5)),
        batch{.lifetimes = c.lifetimes,
              .steps = kPieces * c.steps,
              .features = features.data(),
              .cut_features = c.cut ? cut_features.data() : nullptr,
              .signals = signals.data(),
              .log_probs = log_probs.data(),
              .advantages = advantages.data(),
              .targets = targets.data()} {}
  Training(const Training&) = delete;

  static constexpr int64_t kPieces = 4;
  LstmSizes sizes;
  std::vector<T> weights, m, v, features, cut_features, signals, log_probs;
  std::vector<double> advantages, targets;
  std::vector<T> h, c;
  LstmBatch<T> batch;

  // What came out, of all pieces.
  std::vector<T> new_log_probs, values, group_gradients, gradients;
  std::vector<double> sums, norms;
};

constexpr OuterLossConfig kLoss = {.clip = 0.2, .entropy_coef = 0.003, .value_coef = 0.5};
constexpr AdamConfig kAdam = {.learning_rate = 1e-2};
constexpr double kMaxGradNorm = 0.5;
const double kLogInitialStd = exact::Log(0.2);

template <typename T>
void Append(std::vector<T>* to, const T* from, int64_t size) {
  to->insert(to->end(), from, from + size);
}
std::vector<double> List(const OuterLossTerms& terms) {
  return {terms.pg, terms.entropy, terms.value, terms.kl, terms.clipped, terms.rho_error};
}

template <typename T>
void TrainOnCpu(const PieceCase& c, Training<T>* x) {
  const int64_t hidden = c.sizes.hidden, width = c.sizes.features, all = x->batch.steps;
  const auto size = static_cast<int64_t>(x->weights.size());
  std::vector<T> sum(x->weights.size());
  for (int64_t piece = 0; piece < x->kPieces; ++piece) {
    const int64_t begin = piece * c.steps;
    const double numbers = static_cast<double>(c.lifetimes * c.steps);
    std::vector<T> gradient;
    for (int64_t first = 0; first < c.lifetimes; first += c.group) {
      const int64_t count = std::min(c.group, c.lifetimes - first), rows = count * c.steps;
      std::vector<T> features, signals;
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t at = (first + r % count) * all + begin + r / count;
        const auto& from = c.cut && r < count ? x->cut_features : x->features;
        Append(&features, from.data() + at * width, width);
        signals.push_back(x->signals[at]);
      }
      OuterLossTerms sums;
      std::vector<T> group(x->weights.size());
      LstmPiece<T> lstm;
      lstm.Run(
          LstmTrainingWeights<T>(c.sizes, x->weights.data()),
          {.lifetimes = count,
           .steps = c.steps,
           .log_initial_std = kLogInitialStd,
           .features = features.data(),
           .signals = signals.data(),
           .h = x->h.data() + first * hidden,
           .c = x->c.data() + first * hidden},
          [&](int64_t lifetime, int64_t step, const StepTerms& now) {
            const int64_t at = (first + lifetime) * all + begin + step;
            const auto [terms, derivatives] = EvaluateOuterStep(kLoss, numbers, now,
                                                                {.log_prob = x->log_probs[at],
                                                                 .advantage = x->advantages[at],
                                                                 .target = x->targets[at]});
            AddTerms(terms, &sums);
            x->new_log_probs.push_back(static_cast<T>(now.log_prob));
            x->values.push_back(static_cast<T>(now.value));
            return derivatives;
          },
          group.data());
      lstm.CopyFinalState(x->h.data() + first * hidden, x->c.data() + first * hidden);
      Append(&x->group_gradients, group.data(), size);
      Append(&x->sums, List(sums).data(), 6);
      if (first == 0) gradient = std::vector<T>(group.size());
      for (int64_t i = 0; i < size; ++i)
        gradient[i] = first > 0 ? gradient[i] + group[i] : group[i];
    }
    Append(&x->gradients, gradient.data(), size);
    x->norms.push_back(std::sqrt(SquaredNorm<T>(gradient)));
    for (int64_t i = 0; i < size; ++i) sum[i] = piece % 2 == 1 ? sum[i] + gradient[i] : gradient[i];
    if (piece % 2 == 0) continue;
    AdamStepInPlace<T>(kAdam, piece / 2 + 1,
                       ClipScale(std::sqrt(SquaredNorm<T>(sum)), kMaxGradNorm), sum,
                       x->weights.data(), x->m.data(), x->v.data());
  }
}

template <typename T>
void TrainByPhases(const PieceCase& c, Training<T>* x) {
  Engine<T> engine({.sizes = c.sizes,
                    .log_initial_std = kLogInitialStd,
                    .lifetimes = c.lifetimes,
                    .piece_steps = c.steps,
                    .group_lifetimes = c.group},
                   c.executor);
  const int64_t rows = c.lifetimes * c.steps;
  const int64_t groups = CeilDiv(c.lifetimes, c.group);
  const auto size = static_cast<int64_t>(x->weights.size());
  for (int64_t piece = 0; piece < x->kPieces; ++piece) {
    const LstmPieceMemory<T>& memory = engine.engine.piece();
    std::vector<OuterLossTerms> sums(groups);
    double norm;
    CHECK(engine.engine
              .TrainPiece(kLoss, x->weights.data(), x->batch, piece * c.steps,
                          (piece + 1) * c.steps, x->h.data(), x->c.data(), sums.data(), &norm)
              .ok());
    Append(&x->new_log_probs, memory.log_probs, rows);
    Append(&x->values, memory.values, rows);
    Append(&x->group_gradients, memory.group_gradients, groups * size);
    Append(&x->gradients, piece % 2 == 0 ? memory.sum : memory.gradient, size);
    for (const OuterLossTerms& terms : sums) Append(&x->sums, List(terms).data(), 6);
    x->norms.push_back(norm);
    if (piece % 2 == 1) {
      CHECK(engine.engine
                .ClipAndStep(kAdam, piece / 2 + 1, kMaxGradNorm, x->weights.data(), x->m.data(),
                             x->v.data())
                .ok());
    }
  }
}

template <typename T>
void CheckPiece(const PieceCase& c, void (*change)(Training<T>*) = nullptr) {
  Training<T> want(c), got(c);
  if (change) {
    change(&want);
    change(&got);
  }
  TrainOnCpu(c, &want);
  TrainByPhases(c, &got);
  INFO(c.lifetimes << " lifetimes in groups of " << c.group << ", " << c.steps << " steps");
  CHECK(Differences(got.h, want.h) == 0);
  CHECK(Differences(got.c, want.c) == 0);
  CHECK(Differences(got.new_log_probs, want.new_log_probs) == 0);
  CHECK(Differences(got.values, want.values) == 0);
  CHECK(Differences(got.sums, want.sums) == 0);
  CHECK(Differences(got.group_gradients, want.group_gradients) == 0);
  CHECK(Differences(got.gradients, want.gradients) == 0);
  CHECK(Differences(got.norms, want.norms) == 0);
  CHECK(Differences(got.weights, want.weights) == 0);
  CHECK(Differences(got.m, want.m) == 0);
  CHECK(Differences(got.v, want.v) == 0);
  if (!change) {
    for (const double norm : want.norms) CHECK((std::isfinite(norm) && norm > 0));
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

}  // namespace

TEST_CASE("lstm engine: a dot product has the bits of the CPU's, sums of -0 too") {
  for (int64_t size = 1; size <= 40; ++size) {
    const auto a = Normals<float>(1, size, 1), w = Normals<float>(2, size, 1);
    // Their products are too small for a number, and negative.
    const std::vector<float> tiny(size, 1e-30f), negative(size, -1e-30f);
    const auto check = [size](const float* x, const float* y, float bias) {
      float lanes[kDotLanes<float>], want;
      for (int lane = 0; lane < kDotLanes<float>; ++lane) lanes[lane] = DotLane(x, y, size, lane);
      const float got = SumOfLanes(bias, lanes);
      Dot(x, size, 1, y, size, bias, &want, 1);
      CHECK(Differences(&got, &want, 1) == 0);
    };
    check(a.data(), w.data(), 0.5f);
    check(tiny.data(), negative.data(), -0.0f);
  }
}

TEST_CASE("lstm engine: acting has the bits of the CPU's kernels") {
  for (const ThreadOrder order :
       {ThreadOrder::kAscending, ThreadOrder::kDescending, ThreadOrder::kShuffled}) {
    for (const bool clusters : {true, false}) {
      CheckRun<float>({DefaultSizes(4), 2, 19, true, {clusters, order}});
    }
    CheckRun<float>({OddSizes(), 3, 33, true, {true, order}});
  }
  CheckRun<float>({DefaultSizes(5), 1, 3});
  CheckRun<float>({DefaultSizes(4), 1, 5, /*noise=*/false});
  CheckRun<float>({SmallestSizes(), 5, 1});
  CheckRun<double>({DefaultSizes(4), 1, 4});
  CheckRun<double>({OddSizes(), 2, 20, /*noise=*/false});
}

TEST_CASE("lstm engine: acting on zeros, denormal numbers and NaN") {
  for (const LstmSizes& sizes : {DefaultSizes(4), OddSizes()}) {
    const RunCase run_case{sizes, 3, 5};
    auto weights = Normals<float>(1, sizes.NumWeights(), 0.15);
    auto features = RunFeatures<float>(run_case);
    MakeSmall(&weights);
    MakeSmall(&features);
    CheckRun(run_case, weights, features);
    // Every sum is a zero of one sign or the other.
    for (float& x : weights) x *= 0;
    CheckRun(run_case, weights, features);
    weights = Normals<float>(1, sizes.NumWeights(), 0.15);
    features = RunFeatures<float>(run_case);
    features[2 * sizes.features] = std::numeric_limits<float>::quiet_NaN();
    features[7 * sizes.features + 1] = std::numeric_limits<float>::infinity();
    CheckRun(run_case, weights, features);
  }
}

TEST_CASE("lstm engine: training has the bits of the CPU's kernels") {
  for (const ThreadOrder order :
       {ThreadOrder::kAscending, ThreadOrder::kDescending, ThreadOrder::kShuffled}) {
    for (const bool clusters : {true, false})
      CheckPiece<float>({DefaultSizes(4), 3, 9, 2, {clusters, order}});
    // 7 lifetimes in groups of 3; 84 rows and 28.
    CheckPiece<float>({OddSizes(), 7, 28, 3, {true, order}});
  }
  // Rows of a group: 95, 96, 97, 193.
  for (const int64_t steps : {95, 96, 97, 193}) CheckPiece<float>({OddSizes(), 1, steps, 1});
  CheckPiece<float>({OddSizes(), 2, 100, 2, {}, /*cut=*/true});
  CheckPiece<float>({DefaultSizes(5), 1, 2, 1});
  CheckPiece<float>({DefaultSizes(4), 2, 1, 1});
  CheckPiece<float>({SmallestSizes(), 3, 2, 5});
  CheckPiece<double>({DefaultSizes(4), 1, 3, 1});
  CheckPiece<double>({OddSizes(), 5, 30, 4});
}

TEST_CASE("lstm engine: training on zeros, denormal numbers and NaN") {
  for (const PieceCase& c : {PieceCase{DefaultSizes(4), 3, 4, 2}, {OddSizes(), 4, 40, 3}}) {
    CheckPiece<float>(c, [](Training<float>* x) {
      for (auto* numbers : {&x->weights, &x->features, &x->h, &x->c}) MakeSmall(numbers);
    });
    CheckPiece<float>(c, [](Training<float>* x) {
      for (float& weight : x->weights) weight *= 0;
      for (auto* numbers : {&x->features, &x->h, &x->c}) MakeSmall(numbers);
    });
    // One group's NaN stays in it, but for the sums.
    CheckPiece<float>(
        c, [](Training<float>* x) { x->features[3] = std::numeric_limits<float>::quiet_NaN(); });
    CheckPiece<float>(
        c, [](Training<float>* x) { x->advantages[1] = std::numeric_limits<double>::infinity(); });
  }
}

}  // namespace mentor::learner
