#include "mentor/report/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/testing.h"

namespace mentor::report {
namespace {

using testing::Near;

const RandomStream kRandom{.seed = 7, .purpose = Purpose::kBootstrap};

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
  const auto intervals = BootstrapMeans(rows, kRandom);
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
    const Interval interval = BootstrapMeans(rows, random, 500)[0];
    covered += interval.low <= 0.5 && 0.5 <= interval.high;
  }
  INFO("covered " << covered << " of 200");
  CHECK(covered >= 178);
  CHECK(covered < 200);
}

TEST_CASE("statistics: the bootstrap depends on its key alone", "[unit]") {
  std::vector<std::vector<double>> rows;
  for (int i = 0; i < 30; ++i) rows.push_back({std::sin(i * 1.7), std::cos(i * 0.3)});
  const auto first = BootstrapMeans(rows, kRandom), again = BootstrapMeans(rows, kRandom);
  RandomStream other_key = kRandom;
  other_key.lifetime = 1;
  const auto other = BootstrapMeans(rows, other_key);
  for (int c = 0; c < 2; ++c) {
    CHECK(first[c].low == again[c].low);
    CHECK(first[c].high == again[c].high);
    CHECK(first[c].mean == other[c].mean);
    CHECK(first[c].low != other[c].low);
  }
}

TEST_CASE("statistics: a difference of independent samples adds both variances", "[unit]") {
  // a: 0 and 2 in turn, variance 1, n = 100; b: -1 and 1, variance 1, n = 100. Difference 1,
  // standard error sqrt(0.02).
  std::vector<double> a, b;
  for (int i = 0; i < 100; ++i) {
    a.push_back(i % 2 == 0 ? 0 : 2);
    b.push_back(i % 2 == 0 ? -1 : 1);
  }
  const Interval difference = BootstrapDifference(a, b, kRandom);
  CHECK(difference.mean == 1);
  CHECK(Near(difference.low, 1 - 1.96 * std::sqrt(0.02), {.abs = 0.03}));
  CHECK(Near(difference.high, 1 + 1.96 * std::sqrt(0.02), {.abs = 0.03}));
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

TEST_CASE("statistics: a histogram counts every value once", "[unit]") {
  const auto bins = Histogram(std::vector<double>{0, 0.1, 0.5, 0.99, 1}, 2);
  REQUIRE(bins.size() == 2);
  CHECK(bins[0].count == 2);
  CHECK(bins[1].count == 3);  // 0.5 begins the second bin, 1 ends it.
  CHECK(bins[1].high == 1);
  CHECK(Histogram(std::vector<double>{2, 2}, 10).size() == 1);
  CHECK(Histogram(std::vector<double>{}, 10).empty());
}

// Numbers of rliable's definitions, worked out by hand.
TEST_CASE("statistics: the interquartile mean leaves a quarter out at each end", "[unit]") {
  // scipy.stats.trim_mean(x, 0.25): floor(n / 4) values go at each end.
  CHECK(InterquartileMean(std::vector<double>{7, 0, 6, 1, 5, 2, 4, 3}) == 3.5);  // 2 3 4 5
  CHECK(InterquartileMean(std::vector<double>{100, 1, 2, 3, -50}) == 2);         // 1 2 3
  CHECK(Near(InterquartileMean(std::vector<double>{0, 0, 1}), 1.0 / 3, {.abs = 1e-15}));
  CHECK(InterquartileMean(std::vector<double>{5}) == 5);
  // Over all strata together: of 0 0 0 1 1 1 2 9 the middle 0 1 1 1.
  CHECK(InterquartileMean(PooledScores{{0, 0, 1, 1}, {9, 2, 0, 1}}) == 0.75);
  CHECK(Median(std::vector<double>{4, 1, 3, 2}) == 2.5);
}

TEST_CASE("statistics: a stratified resample draws clusters, and runs within them", "[unit]") {
  const Scores plain = {{{1}, {2}, {3}}, {{4}, {5}}};  // Clusters of one run each: rliable's.
  const auto below = [](uint64_t n, uint32_t resample, uint32_t draw) {
    return kRandom.Below(n, resample, draw);
  };
  const Scores nested = {{{1, 2}, {3, 4, 5}}};
  const Scores single = {{{1, 2, 3}}};  // One meta-seed: its runs are drawn.
  for (uint32_t r = 0; r < 20; ++r) {
    PooledScores expected(2);
    for (uint32_t i = 0; i < 3; ++i) expected[0].push_back(plain[0][below(3, r, i)][0]);
    for (uint32_t i = 0; i < 2; ++i) expected[1].push_back(plain[1][below(2, r, 3 + i)][0]);
    CHECK(Resample(plain, kRandom, r) == expected);

    std::vector<double> within;
    uint32_t draw = 0;
    for (int cluster = 0; cluster < 2; ++cluster) {
      const auto& runs = nested[0][below(2, r, draw++)];
      for (size_t i = 0; i < runs.size(); ++i)
        within.push_back(runs[below(runs.size(), r, draw++)]);
    }
    CHECK(Resample(nested, kRandom, r) == PooledScores{within});

    std::vector<double> own;
    for (uint32_t i = 0; i < 3; ++i) own.push_back(single[0][0][below(3, r, i)]);
    CHECK(Resample(single, kRandom, r) == PooledScores{own});
  }
  CHECK(Pool(nested) == PooledScores{{1, 2, 3, 4, 5}});
}

TEST_CASE("statistics: stratified bootstrap intervals are quantiles of the resamples", "[unit]") {
  // Three runs 1, 2, 3: the mean of a resample is 1 with probability 1/27 > 2.5 %, so the interval
  // ends there; the same above.
  const auto mean = [](const PooledScores& s) {
    return std::vector<double>{Mean(s), InterquartileMean(s)};
  };
  const auto intervals = BootstrapStratified({{{1}, {2}, {3}}}, mean, kRandom);
  CHECK(intervals[0].mean == 2);
  CHECK(intervals[0].low == 1);
  CHECK(intervals[0].high == 3);
  // By hand from the same draws.
  const Scores scores = {{{0.1}, {0.4}, {0.35}, {0.8}}, {{0.9, 0.2}, {0.5, 0.6}}};
  std::vector<double> resampled;
  for (uint32_t r = 0; r < 2000; ++r)
    resampled.push_back(InterquartileMean(Resample(scores, kRandom, r)));
  std::sort(resampled.begin(), resampled.end());
  const Interval iqm = BootstrapStratified(scores, mean, kRandom)[1];
  CHECK(iqm.mean == InterquartileMean(Pool(scores)));
  CHECK(iqm.low == Quantile(resampled, 0.025));
  CHECK(iqm.high == Quantile(resampled, 0.975));
  // Meta-seeds that differ move the interval, however many agents each has taught.
  const std::vector<double> zeros(50, 0.0), ones(50, 1.0);
  const Interval wide = BootstrapStratified({{zeros, ones}}, mean, kRandom)[0];
  CHECK(wide.low == 0);
  CHECK(wide.high == 1);
}

TEST_CASE("statistics: performance profiles and probabilities of improvement", "[unit]") {
  const std::vector<double> thresholds = {0, 0.5, 0.9};
  // Above 0, 0.5, 0.9: 2/3, 1/3, 1/3 of the first stratum, all of the second.
  const auto profile = PerformanceProfile({{0, 0.5, 1}, {1, 1}}, thresholds);
  CHECK(Near(profile[0], (2.0 / 3 + 1) / 2, {.abs = 1e-15}));
  CHECK(Near(profile[1], (1.0 / 3 + 1) / 2, {.abs = 1e-15}));
  CHECK(profile[2] == profile[1]);

  // 1 ties 1 and loses to 3, 2 beats 1 and loses to 3: (0.5 + 0 + 1 + 0) / 4.
  CHECK(ProbabilityOfImprovement({{1, 2}}, {{1, 3}}) == 0.375);
  CHECK(ProbabilityOfImprovement({{1, 3}}, {{1, 2}}) == 0.625);
  CHECK(ProbabilityOfImprovement({{1, 2}, {5}}, {{1, 3}, {4}}) == 0.6875);  // Mean with 1.
  const Interval certain = BootstrapImprovement({{{2}, {3}}}, {{{0}, {1}}}, kRandom);
  CHECK(certain.low == 1);
  CHECK(certain.mean == 1);
  const Interval even =
      BootstrapImprovement({{{1}, {2}, {3}, {4}}}, {{{1}, {2}, {3}, {4}}}, kRandom);
  CHECK(even.mean == 0.5);
  CHECK(even.low < 0.3);
  CHECK(even.high > 0.7);
}

}  // namespace
}  // namespace mentor::report
