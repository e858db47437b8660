// The LSTM signal network as phases (signals/lstm/lstm_engine.h) against the kernels of the CPU:
// the same bits, in whatever order the threads of a phase run.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "common/rng.h"
#include "kernels/dense.h"
#include "kernels/product_phases.h"
#include "tests/lstm_problem.h"
#include "tests/testing.h"

namespace mentor::signals::TEST_FILE {

using mentor::testing::Both;
using mentor::testing::DefaultLstm;
using mentor::testing::LstmActing;
using mentor::testing::LstmTraining;
using mentor::testing::LstmTrainingShape;
using mentor::testing::MakeSmall;
using mentor::testing::NormalNumbers;
using mentor::testing::OddLstm;
using mentor::testing::SmallestLstm;

enum class ThreadOrder { kAscending, kDescending, kShuffled };

struct TestLauncher {
  bool has_clusters = true;
  ThreadOrder order = ThreadOrder::kAscending;

  template <class Kernel>
  absl::Status Launch(const Kernel& kernel, int64_t clusters) const {
    constexpr RandomStream kStream{.seed = 7};
    uint32_t phase = 0;
    kernels::Emulate(kernel, clusters, [&](std::vector<int>* threads) {
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
void CheckActing(LstmActing<T> acting, TestLauncher launcher = {}) {
  INFO("hidden " << acting.sizes.hidden << ", " << acting.lifetimes << " lifetimes, "
                 << acting.steps << " steps");
  CHECK(acting.Difference(launcher) == "");
}

template <typename T>
void CheckTraining(const LstmTrainingShape& shape, TestLauncher launcher = {}) {
  LstmTraining<T> training(shape);
  INFO("hidden " << shape.sizes.hidden << ", " << shape.lifetimes << " lifetimes in groups of "
                 << shape.group << ", " << shape.steps << " steps");
  CHECK(training.Difference(launcher) == "");
  for (const double norm : training.norms) CHECK((std::isfinite(norm) && norm > 0));
}

TEST_CASE("lstm engine: a dot product has the bits of the CPU's, sums of -0 too") {
  for (int64_t size = 1; size <= 40; ++size) {
    const auto a = NormalNumbers<float>(1, size, 1), w = NormalNumbers<float>(2, size, 1);
    // Negative, with products too small for a number.
    const std::vector<float> tiny(size, 1e-30f), negative(size, -1e-30f);
    const auto check = [size](const std::vector<float>& x, const std::vector<float>& y,
                              float bias) {
      float lanes[kernels::kDotLanes<float>], want;
      for (int lane = 0; lane < kernels::kDotLanes<float>; ++lane)
        lanes[lane] = kernels::DotLane(x.data(), y.data(), size, lane);
      kernels::Dot(x.data(), size, 1, y.data(), size, bias, &want, 1);
      CHECK(mentor::testing::SameBits<float>({kernels::SumOfLanes(bias, lanes)}, {want}));
    };
    check(a, w, 0.5f);
    check(tiny, negative, -0.0f);
  }
}

TEST_CASE("lstm engine: acting has the bits of the CPU's kernels") {
  for (const ThreadOrder order :
       {ThreadOrder::kAscending, ThreadOrder::kDescending, ThreadOrder::kShuffled}) {
    for (const bool clusters : {true, false})
      CheckActing<float>({DefaultLstm(), 2, 19}, {clusters, order});
    CheckActing<float>({OddLstm(), 3, 33}, {true, order});
  }
  CheckActing<float>({DefaultLstm(/*side=*/5), 1, 3});
  CheckActing<float>({DefaultLstm(), 1, 5, /*with_noise=*/false});
  CheckActing<float>({SmallestLstm(), 5, 1});
  // More steps than one kernel runs.
  CheckActing<float>({OddLstm(), 2, 300});
  CheckActing<double>({DefaultLstm(), 1, 4});
  CheckActing<double>({OddLstm(), 2, 20, /*with_noise=*/false});
}

TEST_CASE("lstm engine: acting on zeros, denormal numbers and NaN") {
  for (const kernels::LstmSizes& sizes : {DefaultLstm(), OddLstm()}) {
    LstmActing<float> small{sizes, 3, 5};
    MakeSmall(&small.weights);
    MakeSmall(&small.features);
    CheckActing(small);
    // Every sum is a zero of one sign or the other.
    for (float& x : small.weights) x *= 0;
    CheckActing(small);
    LstmActing<float> infinite{sizes, 3, 5};
    infinite.features[2 * sizes.features] = std::numeric_limits<float>::quiet_NaN();
    infinite.features[7 * sizes.features + 1] = std::numeric_limits<float>::infinity();
    CheckActing(infinite);
  }
}

TEST_CASE("lstm engine: training has the bits of the CPU's kernels") {
  for (const ThreadOrder order :
       {ThreadOrder::kAscending, ThreadOrder::kDescending, ThreadOrder::kShuffled}) {
    for (const bool clusters : {true, false})
      CheckTraining<float>({DefaultLstm(), 3, 9, 2}, {clusters, order});
    CheckTraining<float>({OddLstm(), 7, 28, 3}, {true, order});
  }
  // One group of 95, 96, 97 and 193 rows: weights' gradients are sums of blocks of 96.
  for (const int64_t steps : {95, 96, 97, 193}) CheckTraining<float>({OddLstm(), 1, steps, 1});
  CheckTraining<float>({OddLstm(), 2, 100, 2, /*cut=*/true});
  CheckTraining<float>({DefaultLstm(/*side=*/5), 1, 2, 1});
  CheckTraining<float>({DefaultLstm(), 2, 1, 1});
  CheckTraining<float>({SmallestLstm(), 3, 2, 5});
  CheckTraining<double>({DefaultLstm(), 1, 3, 1});
  CheckTraining<double>({OddLstm(), 5, 30, 4});
}

TEST_CASE("lstm engine: training on zeros, denormal numbers and NaN") {
  for (const LstmTrainingShape& shape :
       {LstmTrainingShape{DefaultLstm(), 3, 4, 2}, {OddLstm(), 4, 40, 3}}) {
    LstmTraining<float> small(shape);
    for (auto* numbers : {&small.weights, &small.features, &small.h, &small.c}) MakeSmall(numbers);
    CHECK(small.Difference(TestLauncher()) == "");
    for (float& weight : small.weights) weight *= 0;
    CHECK(small.Difference(TestLauncher()) == "");
    LstmTraining<float> infinite(shape);
    infinite.advantages[1] = std::numeric_limits<double>::infinity();
    CHECK(infinite.Difference(TestLauncher()) == "");
    // One group's NaN stays in the group, except in the sums.
    LstmTraining<float> nan(shape);
    nan.features[3] = std::numeric_limits<float>::quiet_NaN();
    CHECK(nan.Difference(TestLauncher()) == "");
  }
}

TEST_CASE("lstm engine: a second LSTM that runs backward has the bits of the CPU's kernels") {
  for (const ThreadOrder order :
       {ThreadOrder::kAscending, ThreadOrder::kDescending, ThreadOrder::kShuffled}) {
    for (const bool clusters : {true, false}) {
      CheckActing<float>({Both(DefaultLstm()), 2, 19}, {clusters, order});
      CheckTraining<float>({Both(DefaultLstm()), 3, 9, 2, false, 18}, {clusters, order});
    }
    CheckActing<float>({Both(OddLstm()), 3, 33}, {true, order});
    CheckTraining<float>({Both(OddLstm()), 7, 28, 3, false, 4}, {true, order});
  }
  CheckActing<float>({Both(DefaultLstm(/*side=*/5)), 1, 3, /*with_noise=*/false});
  CheckActing<double>({Both(SmallestLstm()), 5, 1});
  // More steps than one kernel runs, in the segment and behind a piece.
  CheckActing<float>({Both(OddLstm()), 2, 530});
  CheckTraining<float>({Both(OddLstm()), 2, 100, 2, /*cut=*/true, 400});
  CheckTraining<float>({Both(DefaultLstm(/*side=*/5)), 1, 2, 1, false, 2});
  CheckTraining<double>({Both(OddLstm()), 5, 30, 4, false, 60});
}

TEST_CASE("lstm engine: a second LSTM on zeros, denormal numbers and NaN") {
  LstmActing<float> acting{Both(OddLstm()), 3, 5};
  LstmTraining<float> training({Both(OddLstm()), 4, 40, 3, false, 80});
  for (auto* numbers : {&acting.weights, &acting.features, &acting.later_features,
                        &training.weights, &training.later_features, &training.h})
    MakeSmall(numbers);
  mentor::testing::MarkBegins(160, OddLstm().features, 80, &training.later_features);
  CheckActing(acting);
  CHECK(training.Difference(TestLauncher()) == "");
  LstmTraining<float> nan({Both(OddLstm()), 4, 40, 3, false, 80});
  nan.later_features[3] = std::numeric_limits<float>::quiet_NaN();
  CHECK(nan.Difference(TestLauncher()) == "");
}

}  // namespace mentor::signals::TEST_FILE
