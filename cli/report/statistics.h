// Means with bootstrap intervals, correlations and running means, for what programs print. Reports
// compute theirs in Python, with the same definitions and the same random numbers, and compare
// samples (python/mentor/report/statistics.py). Pure functions.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "common/rng.h"

namespace mentor::report {

inline constexpr int kBootstrapResamples = 2000;
// A missing number.
inline constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// A mean with its 95 % interval.
struct Interval {
  double mean = 0;
  double low = 0;
  double high = 0;
};

// Returns a quantile of `sorted` by linear interpolation between order statistics, 0 <= q <= 1
// (Hyndman and Fan 1996, type 7).
double Quantile(std::span<const double> sorted, double q);

// The key shared by all groups. Sharing resamples keeps the intervals of a group when another group
// is added.
inline RandomStream BootstrapStream() {
  return {.seed = 0, .purpose = Purpose::kBootstrap};
}

// --- Intervals by levels ---
//
// Lifetimes of one goal share the goal, and goals of one meta-seed share what it has learned, so
// they are not independent. A resample draws meta-seeds with replacement, within each of them
// goals, and within each goal lifetimes. This hierarchical bootstrap follows Davison and Hinkley
// (1997, "Bootstrap methods and their application", section 3.8). It also follows Saravanan, Berman
// and Sober (2020, "Application of the hierarchical bootstrap to multi-level data in
// neuroscience"). Environments are strata: a benchmark consists of them, so every resample contains
// all of them. A level with one member is not drawn, so its interval does not cover other members.
// Intervals are too wide when upper levels vary no more than lower levels explain by chance. The
// factor is up to 1.41 with two levels, and up to 1.73 with three.

// The position of a lifetime in the levels.
struct Levels {
  std::string environment = {};
  size_t meta_seed = 0;    // Unique in the sample.
  uint64_t goal_seed = 0;  // Draw of the goals; equal when the sample contains a single draw.
  uint32_t goal = 0;       // Index in that draw.
  auto operator<=>(const Levels&) const = default;
};

// Returns percentile intervals (Efron 1979) of the mean of each column. `rows` is
// [levels.size()][columns] and not empty. A resample draws whole rows, so columns stay together.
// `random` has purpose kBootstrap: its step is the index of the resample, and draws are counted
// within the resample.
std::vector<Interval> BootstrapMeans(std::span<const Levels> levels,
                                     const std::vector<std::vector<double>>& rows,
                                     const RandomStream& random,
                                     int resamples = kBootstrapResamples);

// Return correlations of series of equal length. NaN when a series is constant or shorter than two.
double Pearson(std::span<const double> x, std::span<const double> y);
double Spearman(std::span<const double> x, std::span<const double> y);  // Pearson of mid-ranks.
std::vector<double> MidRanks(std::span<const double> x);  // From 1; ties share their mean rank.

// Returns the mean of the last `window` values at each place (fewer at the beginning). NaN values
// are left out.
std::vector<double> RunningMean(std::span<const double> x, int window);

}  // namespace mentor::report
