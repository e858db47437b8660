// Statistics of the report: means with bootstrap intervals, interquartile means, performance
// profiles and probabilities of improvement (Agarwal et al. 2021), correlations, running means,
// histograms. Pure functions.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
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

// --- Intervals by levels ---
//
// Lifetimes of one goal share the goal, and goals of one meta-seed share what it has learned, so
// they are not independent. A resample draws meta-seeds with replacement, within each of them its
// goals, and within each of those its lifetimes: the hierarchical bootstrap (Davison and Hinkley
// 1997, "Bootstrap methods and their application", section 3.8; Saravanan, Berman and Sober 2020,
// "Application of the hierarchical bootstrap to multi-level data in neuroscience"). Environments
// are strata: a benchmark consists of them, so all of them are in every resample. A level with one
// member is not drawn, so its interval does not cover others. Where upper levels differ by no more
// than the chance of lower ones, intervals are wider than they had to be: with two levels by up to
// 1.41, with three by up to 1.73.

// Where a lifetime belongs.
struct Levels {
  std::string environment = {};
  size_t meta_seed = 0;    // A number that no other of the sample has.
  uint64_t goal_seed = 0;  // What drew the goal; equal where no two draws are in the sample.
  uint32_t goal = 0;       // Its number in that draw.
  auto operator<=>(const Levels&) const = default;
};

// Means of the columns of rows, [rows][columns]. NaN: the row has no such number.
std::vector<double> ColumnMeans(const std::vector<std::vector<double>>& rows);

// Percentile intervals (Efron 1979) of the mean of each column. rows: [levels.size()][columns], not
// empty; a resample draws whole rows, so columns stay together. random has purpose kBootstrap: step
// = resample, draws are counted through the resample.
std::vector<Interval> BootstrapMeans(std::span<const Levels> levels,
                                     const std::vector<std::vector<double>>& rows,
                                     const RandomStream& random,
                                     int resamples = kBootstrapResamples);

// The same of one number from each meta-seed.
Interval BootstrapMeanOfSeeds(std::span<const double> seeds, const RandomStream& random,
                              int resamples = kBootstrapResamples);

// --- Scores of several runs on several tasks (Agarwal et al. 2021, "Deep reinforcement learning at
// the edge of the statistical precipice", and their library rliable) ---

// Mean of the middle half: floor(n / 4) of the least and as many of the greatest are left out.
// Not empty.
double InterquartileMean(std::span<const double> x);
double Median(std::span<const double> x);

// The scores of one method.
struct Scores {
  std::vector<Levels> levels = {};  // Of each lifetime,
  std::vector<double> values = {};  // and its number.
  // Whether a score is the mean over the lifetimes of one meta-seed in one environment. Otherwise
  // each lifetime is one.
  bool of_seeds = false;

  bool empty() const { return values.empty(); }
};
// scores[stratum][score], by meta-seed.
using PooledScores = std::vector<std::vector<double>>;
PooledScores Pool(const Scores& scores);
// The scores of each meta-seed, in their order.
std::vector<Scores> BySeed(const Scores& scores);

// Percentile intervals of a statistic of the pooled scores; all its numbers come from the same
// resamples by levels. With one lifetime of one goal for each meta-seed these are rliable's.
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

// Intervals of that probability, and of mean(a) - mean(b), for independent samples. b uses
// iteration + 1 of `random`.
Interval BootstrapImprovement(const Scores& a, const Scores& b, const RandomStream& random,
                              int resamples = kBootstrapResamples);
Interval BootstrapDifference(const Scores& a, const Scores& b, const RandomStream& random,
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
