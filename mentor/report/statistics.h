// Statistics of the report: means with bootstrap intervals, interquartile means, performance
// profiles and probabilities of improvement (Agarwal et al. 2021), correlations, running means,
// histograms. Pure functions.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "common/rng.h"

namespace mentor::report {

inline constexpr int kBootstrapResamples = 2000;
// A number that there is not.
inline constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// A mean with its 95 % interval.
struct Interval {
  double mean = 0;
  double low = 0;
  double high = 0;
};

// A quantile of `sorted` by linear interpolation between order statistics, 0 <= q <= 1 (Hyndman and
// Fan 1996, type 7).
double Quantile(std::span<const double> sorted, double q);

// One key for all groups: they share their resamples, so adding one moves no interval of another.
inline RandomStream BootstrapStream() {
  return {.seed = 0, .purpose = Purpose::kBootstrap};
}

// Percentile bootstrap (Efron 1979) of the mean of each column. rows: [n][columns], n > 0; a
// resample draws whole rows, so columns stay together. random has purpose kBootstrap: step =
// resample, draw = row.
std::vector<Interval> BootstrapMeans(const std::vector<std::vector<double>>& rows,
                                     const RandomStream& random,
                                     int resamples = kBootstrapResamples);

// The same for mean(a) - mean(b) of independent samples. Not empty. b uses iteration + 1 of
// `random`.
Interval BootstrapDifference(std::span<const double> a, std::span<const double> b,
                             const RandomStream& random, int resamples = kBootstrapResamples);

// --- Scores of several runs on several tasks (Agarwal et al. 2021, "Deep reinforcement learning at
// the edge of the statistical precipice", and their library rliable) ---

// Mean of the middle half: floor(n / 4) of the least and as many of the greatest are left out.
// Not empty.
double InterquartileMean(std::span<const double> x);
double Median(std::span<const double> x);

// Runs of one method: scores[stratum][cluster][run]. A stratum is an environment. Runs of a cluster
// share something that another cluster has not, here the meta-seed; without such a thing each
// cluster has one run. Nothing is empty.
using Scores = std::vector<std::vector<std::vector<double>>>;
// By stratum, clusters one after the other.
using PooledScores = std::vector<std::vector<double>>;
PooledScores Pool(const Scores& scores);

// Stratified bootstrap: in each stratum clusters are drawn with replacement, and within each drawn
// cluster its runs; with one run in each cluster that is rliable's resample of the runs of a task.
// random has purpose kBootstrap: step = resample, draws are counted through the resample.
PooledScores Resample(const Scores& scores, const RandomStream& random, uint32_t resample);

// Percentile intervals of a statistic of the pooled scores; all its numbers come from the same
// resamples.
using Statistic = std::function<std::vector<double>(const PooledScores&)>;
std::vector<Interval> BootstrapStratified(const Scores& scores, const Statistic& statistic,
                                          const RandomStream& random,
                                          int resamples = kBootstrapResamples);

// The interquartile mean of all scores of all strata.
double InterquartileMean(const PooledScores& scores);
double Mean(const PooledScores& scores);

// Share of runs with a score above each threshold, mean over the strata. thresholds rise.
std::vector<double> PerformanceProfile(const PooledScores& scores,
                                       std::span<const double> thresholds);

// Probability that a run of a has a higher score than one of b (ties count half, as in Mann and
// Whitney's U), mean over the strata, which are the same for both.
double ProbabilityOfImprovement(const PooledScores& a, const PooledScores& b);
// b uses iteration + 1 of `random`.
Interval BootstrapImprovement(const Scores& a, const Scores& b, const RandomStream& random,
                              int resamples = kBootstrapResamples);

// Correlations of equally long series. NaN when a series is constant or shorter than two.
double Pearson(std::span<const double> x, std::span<const double> y);
double Spearman(std::span<const double> x, std::span<const double> y);  // Pearson of mid-ranks.
std::vector<double> MidRanks(std::span<const double> x);  // From 1; ties share their mean rank.

// Mean of the last `window` values at each place (fewer at the beginning). NaN values are left out.
std::vector<double> RunningMean(std::span<const double> x, int window);

struct Bin {
  double low = 0;
  double high = 0;
  uint64_t count = 0;
};
// Equal bins from the least to the greatest value; the last one includes its upper end. One bin
// when all are equal.
std::vector<Bin> Histogram(std::span<const double> x, int bins);

}  // namespace mentor::report
