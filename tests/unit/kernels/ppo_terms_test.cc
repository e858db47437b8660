// DPO's drift, one step at a time: against the formula, by differences, and against formulas with
// one mistake each.
#include "kernels/ppo_terms.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/testing.h"

namespace mentor::kernels::TEST_FILE {

constexpr Drift kPublished = {.alpha = 2, .beta = 0.6};
constexpr double kClip = 0.2, kCount = 5;

SurrogateStep At(double log_ratio, double advantage, const Drift& drift = kPublished) {
  return DriftSurrogate(log_ratio - 3, -3, advantage, kClip, drift, kCount);
}

struct Point {
  double log_ratio, advantage;
};
std::vector<Point> Grid() {
  std::vector<Point> points;
  for (double log_ratio = -2; log_ratio <= 2; log_ratio += 0.25) {
    for (double advantage = -3; advantage <= 3; advantage += 0.375)
      points.push_back({log_ratio, advantage});
  }
  return points;
}

double Relu(double x) {
  return x > 0 ? x : 0;
}
double Bent(double x, double scale) {
  return x - scale * std::tanh(x / scale);
}

enum class Mistake { kNone, kNoRelu, kRatioBelow, kLogAbove, kSwapped, kNotScaled, kOneSided };

// -A rho + drift, as published, or with a mistake.
double Formula(const Point& p, Mistake mistake) {
  const double ratio = std::exp(p.log_ratio), a = p.advantage;
  const bool rises = a >= 0;
  double above = ratio - 1, below = p.log_ratio;
  if (mistake == Mistake::kRatioBelow) below = ratio - 1;
  if (mistake == Mistake::kLogAbove) above = p.log_ratio;
  double scale = rises == (mistake != Mistake::kSwapped) ? kPublished.alpha : kPublished.beta;
  const double gain = (rises ? above : below) * a;
  double drift = Bent(gain, scale);
  if (mistake == Mistake::kNotScaled) drift = gain - std::tanh(gain / scale);
  if (mistake != Mistake::kNoRelu) drift = Relu(drift);
  if (mistake == Mistake::kOneSided && !rises) drift = 0;
  return drift - a * ratio;
}

TEST_CASE("dpo: the loss of a step is the formula, and none with a mistake", "[unit]") {
  for (const Mistake mistake :
       {Mistake::kNone, Mistake::kNoRelu, Mistake::kRatioBelow, Mistake::kLogAbove,
        Mistake::kSwapped, Mistake::kNotScaled, Mistake::kOneSided}) {
    double worst = 0;
    for (const Point& p : Grid()) {
      const double error = At(p.log_ratio, p.advantage).loss - Formula(p, mistake);
      worst = std::max(worst, std::abs(error));
    }
    INFO("mistake " << static_cast<int>(mistake) << ": " << worst);
    CHECK((mistake == Mistake::kNone ? worst < 1e-13 : worst > 0.05));
  }
}

TEST_CASE("dpo: the slope by the log-density, and its slope by the advantage", "[unit]") {
  constexpr double h = 1e-5;
  double pulled = 0;
  for (const Point& p : Grid()) {
    INFO("log ratio " << p.log_ratio << ", advantage " << p.advantage);
    const SurrogateStep step = At(p.log_ratio, p.advantage);
    const double slope =
        (At(p.log_ratio + h, p.advantage).loss - At(p.log_ratio - h, p.advantage).loss) / (2 * h);
    CHECK(testing::Near(step.d_log_prob * kCount, slope, {.rel = 1e-7, .abs = 1e-7}));
    const double by_advantage = (At(p.log_ratio, p.advantage + h).d_log_prob -
                                 At(p.log_ratio, p.advantage - h).d_log_prob) /
                                (2 * h);
    CHECK(testing::Near(step.by_advantage, by_advantage, {.rel = 1e-6, .abs = 1e-6}));
    pulled = std::max(pulled, std::abs(step.d_log_prob * kCount + p.advantage * step.ratio));
  }
  CHECK(pulled > 1);  // The drift has a part in the slopes.
}

TEST_CASE("dpo: where the policy stands still the step is the policy gradient's", "[unit]") {
  for (const double advantage : {-2.0, -0.1, 0.0, 0.1, 2.0}) {
    const SurrogateStep step = At(0, advantage);
    CHECK(step.ratio == 1);
    CHECK(step.loss == -advantage);
    CHECK(step.d_log_prob == -advantage / kCount);
    CHECK(step.by_advantage == -1 / kCount);
    CHECK(step.kl == 0);
    CHECK(step.clipped == 0);
  }
}

TEST_CASE("dpo: numbers that are not finite stay so", "[unit]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(std::isnan(At(nan, 1).loss));
  CHECK(std::isnan(At(0.1, nan).loss));
  CHECK_FALSE(std::isfinite(At(1000, 1).loss));
  CHECK_FALSE(std::isfinite(At(1000, -1).loss));
}

TEST_CASE("surrogates: the drift is asked for, otherwise the clip has the same bits", "[unit]") {
  for (const Point& p : Grid()) {
    const SurrogateStep clip = ClippedSurrogate(p.log_ratio, 0, p.advantage, kClip, kCount);
    const SurrogateStep plain =
        EvaluateSurrogate({.clip = kClip}, p.log_ratio, 0, p.advantage, kCount);
    CHECK(plain.loss == clip.loss);
    CHECK(plain.d_log_prob == clip.d_log_prob);
    const Surrogate drift = {.clip = kClip, .has_drift = true, .drift = kPublished};
    CHECK(EvaluateSurrogate(drift, p.log_ratio, 0, p.advantage, kCount).loss ==
          DriftSurrogate(p.log_ratio, 0, p.advantage, kClip, kPublished, kCount).loss);
  }
}

}  // namespace mentor::kernels::TEST_FILE
