#include "cli/report/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "tests/testing.h"

namespace mentor::report::TEST_FILE {

using testing::Near;

const RandomStream kRandom{.seed = 7, .purpose = Purpose::kBootstrap};

// Lifetimes of one meta-seed, on a goal each.
std::vector<Levels> OnOwnGoals(size_t lifetimes) {
  std::vector<Levels> levels(lifetimes);
  for (uint32_t i = 0; i < lifetimes; ++i) levels[i].goal = i;
  return levels;
}

// `seeds` meta-seeds of n goals with m lifetimes each: 0, and normal effects of each level.
struct Effects {
  double seed = 0, goal = 0, lifetime = 0;
};
struct Scores {
  std::vector<Levels> levels = {};
  std::vector<double> values = {};
};
Scores Simulated(uint32_t sample, uint32_t seeds, uint32_t n, uint32_t m, const Effects& sd) {
  const RandomStream random{.seed = 5, .purpose = Purpose::kTest, .lifetime = sample};
  const auto normal = [&](uint32_t step, uint32_t draw) {
    double value = 0;
    random.Normals(step, std::span(&value, 1), draw);
    return value;
  };
  Scores scores;
  for (uint32_t s = 0; s < seeds; ++s) {
    for (uint32_t goal = 0; goal < n; ++goal) {
      for (uint32_t i = 0; i < m; ++i) {
        const uint32_t own_goal = s * n + goal;
        scores.levels.push_back({.meta_seed = s, .goal = goal});
        scores.values.push_back(sd.seed * normal(0, s) + sd.goal * normal(1, own_goal) +
                                sd.lifetime * normal(2, own_goal * m + i));
      }
    }
  }
  return scores;
}

Interval MeanOf(const Scores& scores, const std::vector<Levels>& levels, int resamples) {
  std::vector<std::vector<double>> rows;
  for (const double value : scores.values) rows.push_back({value});
  return BootstrapMeans(levels, rows, kRandom, resamples)[0];
}

TEST_CASE("statistics: quantiles interpolate between order statistics", "[unit]") {
  const std::vector<double> sorted = {1, 2, 4, 8};
  CHECK(Quantile(sorted, 0) == 1);
  CHECK(Quantile(sorted, 1) == 8);
  CHECK(Quantile(sorted, 0.5) == 3);                        // Half way between 2 and 4.
  CHECK(Near(Quantile(sorted, 0.9), 6.8, {.rel = 1e-12}));  // Place 2.7: 4 + 0.7 * 4.
  CHECK(Quantile(std::vector<double>{5}, 0.3) == 5);
}

TEST_CASE("statistics: the bootstrap interval of a rate is near the normal approximation",
          "[unit]") {
  // 400 lifetimes, 100 successes: mean 0.25, standard error sqrt(0.25 * 0.75 / 400) = 0.02165;
  // +-1.96 of it is 0.0424.
  std::vector<std::vector<double>> rows(400);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = {i % 4 == 0 ? 1.0 : 0.0, 3.0};
  const auto intervals = BootstrapMeans(OnOwnGoals(400), rows, kRandom);
  REQUIRE(intervals.size() == 2);
  CHECK(intervals[0].mean == 0.25);
  CHECK(Near(intervals[0].low, 0.25 - 0.0424, {.abs = 0.004}));
  CHECK(Near(intervals[0].high, 0.25 + 0.0424, {.abs = 0.004}));
  // A constant column has no width.
  CHECK(intervals[1].low == 3);
  CHECK(intervals[1].high == 3);
}

TEST_CASE("statistics: the bootstrap covers the true mean about as often as it says", "[unit]") {
  // 200 samples of 40 fair coins each. Percentile intervals of so small samples cover a little less
  // than 95 %.
  int covered = 0;
  for (uint32_t sample = 0; sample < 200; ++sample) {
    const RandomStream coins{.seed = 11, .purpose = Purpose::kTest, .lifetime = sample};
    std::vector<std::vector<double>> rows;
    for (uint32_t i = 0; i < 40; ++i) rows.push_back({coins.Uniform(0, i) < 0.5 ? 1.0 : 0.0});
    RandomStream random = kRandom;
    random.lifetime = sample;
    const Interval interval = BootstrapMeans(OnOwnGoals(40), rows, random, 500)[0];
    covered += interval.low <= 0.5 && 0.5 <= interval.high;
  }
  INFO("covered " << covered << " of 200");
  CHECK(covered >= 178);
  CHECK(covered < 200);
}

TEST_CASE("statistics: the bootstrap depends on its key alone", "[unit]") {
  std::vector<std::vector<double>> rows;
  for (int i = 0; i < 30; ++i) rows.push_back({std::sin(i * 1.7), std::cos(i * 0.3)});
  const std::vector<Levels> levels = OnOwnGoals(30);
  const auto first = BootstrapMeans(levels, rows, kRandom),
             again = BootstrapMeans(levels, rows, kRandom);
  RandomStream other_key = kRandom;
  other_key.lifetime = 1;
  const auto other = BootstrapMeans(levels, rows, other_key);
  for (int c = 0; c < 2; ++c) {
    CHECK(first[c].low == again[c].low);
    CHECK(first[c].high == again[c].high);
    CHECK(first[c].mean == other[c].mean);
    CHECK(first[c].low != other[c].low);
  }
}

TEST_CASE("statistics: correlations of series that are known by hand", "[unit]") {
  const std::vector<double> x = {1, 2, 3, 4, 5}, line = {3, 5, 7, 9, 11},
                            cubes = {1, 8, 27, 64, 125};
  const std::vector<double> down = {5, 4, 3, 2, 1}, mixed = {2, 1, 4, 3, 5}, constant(5, 0.1);
  CHECK(Near(Pearson(x, line), 1, {.abs = 1e-15}));
  CHECK(Near(Pearson(x, down), -1, {.abs = 1e-15}));
  CHECK(Near(Spearman(x, cubes), 1, {.abs = 1e-15}));  // Monotone, so ranks agree...
  CHECK(Pearson(x, cubes) < 0.96);                     // ... though it is no line.
  // Deviations of `mixed`: -1 -2 1 0 2; sum of products 2+2+0+0+4 = 8, of squares 10 and 10.
  CHECK(Near(Pearson(x, mixed), 0.8, {.abs = 1e-15}));
  CHECK(std::isnan(Pearson(x, constant)));
  CHECK(std::isnan(Spearman(constant, x)));
  CHECK(std::isnan(Pearson(std::vector<double>{1}, std::vector<double>{2})));
}

TEST_CASE("statistics: ties share their mean rank", "[unit]") {
  const std::vector<double> x = {10, 20, 10, 30, 10};
  CHECK(MidRanks(x) == std::vector<double>{2, 4, 2, 5, 2});
  // Ranks of {1, 2, 2, 3} are 1, 2.5, 2.5, 4; against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5).
  CHECK(Near(Spearman(std::vector<double>{1, 2, 2, 3}, std::vector<double>{1, 2, 3, 4}),
             4.5 / std::sqrt(22.5), {.abs = 1e-15}));
}

TEST_CASE("statistics: a running mean begins with what there is and leaves gaps out", "[unit]") {
  const double gap = std::numeric_limits<double>::quiet_NaN();
  CHECK(RunningMean(std::vector<double>{1, 3, 5, 7}, 2) == std::vector<double>{1, 2, 4, 6});
  const auto means = RunningMean(std::vector<double>{gap, 2, gap, 4}, 3);
  CHECK(std::isnan(means[0]));
  CHECK(means[1] == 2);
  CHECK(means[2] == 2);
  CHECK(means[3] == 3);
}

TEST_CASE("statistics: with one lifetime to a goal the levels are the bootstrap over goals",
          "[unit]") {
  std::vector<double> values;
  for (int i = 0; i < 30; ++i) values.push_back(std::sin(i * 1.7));
  std::vector<double> resampled;
  for (uint32_t r = 0; r < 500; ++r) {
    double sum = 0;
    for (uint32_t i = 0; i < 30; ++i) sum += values[kRandom.Below(30, r, i)];
    resampled.push_back(sum / 30);
  }
  std::sort(resampled.begin(), resampled.end());
  const Interval interval = MeanOf({.values = values}, OnOwnGoals(30), 500);
  CHECK(interval.low == Quantile(resampled, 0.025));
  CHECK(interval.high == Quantile(resampled, 0.975));
}

TEST_CASE("statistics: intervals by levels cover the mean where levels are not independent",
          "[unit]") {
  // 20 goals of variance 1 with 10 lifetimes of variance 1: the variance of the mean is
  // 1/20 + 1/200. As 200 independent lifetimes it would be 2/200, and the interval 0.43 times as
  // wide, which covers in 60 of 100 samples.
  const auto covered = [](uint32_t seeds, uint32_t n, uint32_t m, const Effects& sd, bool levels) {
    int count = 0;
    for (uint32_t sample = 0; sample < 200; ++sample) {
      const Scores scores = Simulated(sample, seeds, n, m, sd);
      const Interval interval =
          MeanOf(scores, levels ? scores.levels : OnOwnGoals(scores.values.size()), 200);
      count += interval.low <= 0 && 0 <= interval.high;
    }
    return count;
  };
  const Effects goals{.goal = 1, .lifetime = 1};
  const int by_levels = covered(1, 20, 10, goals, true), flat = covered(1, 20, 10, goals, false);
  INFO("covered " << by_levels << " by levels, " << flat << " as independent lifetimes, of 200");
  CHECK(by_levels >= 178);
  CHECK(flat < 150);
  // Meta-seeds that differ, 10 of them.
  const Effects seeds{.seed = 0.5, .goal = 0.5, .lifetime = 1};
  const int by_seeds = covered(10, 5, 4, seeds, true), flat_seeds = covered(10, 5, 4, seeds, false);
  INFO("covered " << by_seeds << " by levels, " << flat_seeds << " as independent, of 200");
  CHECK(by_seeds >= 178);
  CHECK(flat_seeds < 150);
}

TEST_CASE("statistics: the width of intervals by levels follows from the variances of the levels",
          "[unit]") {
  // Half of 60 goals have 9 successes in 10 lifetimes, half 1. Variance of goals 0.4^2 = 0.16,
  // within a goal 0.9 * 0.1 = 0.09: a resample's mean has variance 0.16/60 + 0.09/600.
  std::vector<Levels> levels;
  std::vector<std::vector<double>> rows;
  for (uint32_t goal = 0; goal < 60; ++goal) {
    for (int i = 0; i < 10; ++i) {
      levels.push_back({.goal = goal});
      rows.push_back({(i == 0) == (goal % 2 == 0) ? 1.0 : 0.0});
    }
  }
  const Interval interval = BootstrapMeans(levels, rows, kRandom)[0];
  const double sd = std::sqrt(0.16 / 60 + 0.09 / 600);
  CHECK(Near(interval.mean, 0.5, {.rel = 1e-12}));
  CHECK(Near(interval.low, 0.5 - 1.96 * sd, {.abs = 0.008}));
  CHECK(Near(interval.high, 0.5 + 1.96 * sd, {.abs = 0.008}));
}

TEST_CASE("statistics: means leave out rows without the number", "[unit]") {
  const double gap = kNone;
  const auto means =
      BootstrapMeans(OnOwnGoals(3), {{1, gap, 4}, {3, gap, gap}, {5, gap, 4}}, kRandom);
  CHECK(means[0].mean == 3);
  CHECK(std::isnan(means[1].mean));
  CHECK(std::isnan(means[1].low));
  CHECK(means[2].mean == 4);
  CHECK(means[2].low == 4);
}

}  // namespace mentor::report::TEST_FILE
