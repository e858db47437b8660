#include "mentor/report/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "common/check.h"

namespace mentor::report {
namespace {

constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();
constexpr double kLowQuantile = 0.025, kHighQuantile = 0.975;

double Mean(std::span<const double> x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}

Interval PercentileInterval(double mean, std::vector<double> resampled) {
  std::sort(resampled.begin(), resampled.end());
  return {mean, Quantile(resampled, kLowQuantile), Quantile(resampled, kHighQuantile)};
}

// Mean of a resample of x; draw i of step `resample` chooses its i-th member.
double ResampledMean(std::span<const double> x, const RandomStream& random, uint32_t resample) {
  double sum = 0;
  for (uint32_t i = 0; i < x.size(); ++i) sum += x[random.Below(x.size(), resample, i)];
  return sum / static_cast<double>(x.size());
}

}  // namespace

double Quantile(std::span<const double> sorted, double q) {
  MENTOR_CHECK(!sorted.empty() && q >= 0 && q <= 1);
  const double place = q * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(std::floor(place));
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

std::vector<Interval> BootstrapMeans(const std::vector<std::vector<double>>& rows,
                                     const RandomStream& random, int resamples) {
  MENTOR_CHECK(!rows.empty() && resamples > 0 && random.purpose == Purpose::kBootstrap);
  const size_t n = rows.size(), columns = rows[0].size();
  std::vector<double> means(columns, 0.0);
  for (const auto& row : rows) {
    MENTOR_CHECK(row.size() == columns);
    for (size_t c = 0; c < columns; ++c) means[c] += row[c];
  }
  for (double& mean : means) mean /= static_cast<double>(n);

  std::vector<std::vector<double>> resampled(columns, std::vector<double>(resamples));
  std::vector<double> sums(columns);
  for (int r = 0; r < resamples; ++r) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (size_t i = 0; i < n; ++i) {
      const auto& row = rows[random.Below(n, static_cast<uint32_t>(r), static_cast<uint32_t>(i))];
      for (size_t c = 0; c < columns; ++c) sums[c] += row[c];
    }
    for (size_t c = 0; c < columns; ++c) resampled[c][r] = sums[c] / static_cast<double>(n);
  }
  std::vector<Interval> intervals;
  for (size_t c = 0; c < columns; ++c)
    intervals.push_back(PercentileInterval(means[c], std::move(resampled[c])));
  return intervals;
}

Interval BootstrapDifference(std::span<const double> a, std::span<const double> b,
                             const RandomStream& random, int resamples) {
  MENTOR_CHECK(!a.empty() && !b.empty() && resamples > 0 && random.purpose == Purpose::kBootstrap);
  RandomStream random_b = random;
  ++random_b.iteration;
  std::vector<double> differences(resamples);
  for (int r = 0; r < resamples; ++r) {
    const uint32_t step = static_cast<uint32_t>(r);
    differences[r] = ResampledMean(a, random, step) - ResampledMean(b, random_b, step);
  }
  return PercentileInterval(Mean(a) - Mean(b), std::move(differences));
}

double Pearson(std::span<const double> x, std::span<const double> y) {
  MENTOR_CHECK(x.size() == y.size());
  if (x.size() < 2) return kNotANumber;
  const double mean_x = Mean(x), mean_y = Mean(y);
  double xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double dx = x[i] - mean_x, dy = y[i] - mean_y;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  // A constant series leaves rounding errors only, so constancy is read off its values.
  const auto is_constant = [](std::span<const double> v) {
    return std::all_of(v.begin(), v.end(), [&](double value) { return value == v[0]; });
  };
  if (is_constant(x) || is_constant(y) || xx == 0 || yy == 0) return kNotANumber;
  return std::clamp(xy / (std::sqrt(xx) * std::sqrt(yy)), -1.0, 1.0);
}

std::vector<double> MidRanks(std::span<const double> x) {
  std::vector<size_t> order(x.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return x[a] < x[b]; });
  std::vector<double> ranks(x.size());
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin + 1;
    while (end < order.size() && x[order[end]] == x[order[begin]]) ++end;
    // Places begin .. end-1 hold ranks begin+1 .. end.
    const double rank = 0.5 * static_cast<double>(begin + 1 + end);
    for (size_t i = begin; i < end; ++i) ranks[order[i]] = rank;
    begin = end;
  }
  return ranks;
}

double Spearman(std::span<const double> x, std::span<const double> y) {
  return Pearson(MidRanks(x), MidRanks(y));
}

std::vector<double> RunningMean(std::span<const double> x, int window) {
  MENTOR_CHECK(window > 0);
  std::vector<double> means(x.size(), kNotANumber);
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t begin =
        i + 1 >= static_cast<size_t>(window) ? i + 1 - static_cast<size_t>(window) : 0;
    double sum = 0;
    int count = 0;
    for (size_t j = begin; j <= i; ++j) {
      if (std::isnan(x[j])) continue;
      sum += x[j];
      ++count;
    }
    if (count > 0) means[i] = sum / count;
  }
  return means;
}

std::vector<Bin> Histogram(std::span<const double> x, int bins) {
  MENTOR_CHECK(bins > 0);
  if (x.empty()) return {};
  const auto [least, greatest] = std::minmax_element(x.begin(), x.end());
  const double low = *least, high = *greatest;
  if (low == high) return {{low, high, x.size()}};
  std::vector<Bin> histogram(bins);
  const double width = (high - low) / bins;
  for (int b = 0; b < bins; ++b)
    histogram[b] = {low + b * width, b + 1 == bins ? high : low + (b + 1) * width, 0};
  for (const double value : x) {
    const int bin = static_cast<int>((value - low) / width);
    ++histogram[std::clamp(bin, 0, bins - 1)].count;
  }
  return histogram;
}

}  // namespace mentor::report
