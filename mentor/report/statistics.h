// Statistics of the report: means with bootstrap intervals, correlations, running means,
// histograms. Pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "common/rng.h"

namespace mentor::report {

inline constexpr int kBootstrapResamples = 2000;

// A mean with its 95 % interval.
struct Interval {
  double mean = 0;
  double low = 0;
  double high = 0;
};

// A quantile of `sorted` by linear interpolation between order statistics, 0 <= q <= 1 (Hyndman and
// Fan 1996, type 7).
double Quantile(std::span<const double> sorted, double q);

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
