#include "mentor/report/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "common/check.h"

namespace mentor::report {
namespace {

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

namespace {

std::vector<double> Sorted(std::span<const double> x) {
  std::vector<double> sorted(x.begin(), x.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

std::vector<double> Flat(const PooledScores& scores) {
  std::vector<double> all;
  for (const auto& stratum : scores) all.insert(all.end(), stratum.begin(), stratum.end());
  return all;
}

}  // namespace

double InterquartileMean(std::span<const double> x) {
  MENTOR_CHECK(!x.empty());
  const std::vector<double> sorted = Sorted(x);
  const size_t cut = sorted.size() / 4;
  return Mean(std::span(sorted).subspan(cut, sorted.size() - 2 * cut));
}

double Median(std::span<const double> x) {
  return Quantile(Sorted(x), 0.5);
}

PooledScores Pool(const Scores& scores) {
  PooledScores pooled;
  for (const auto& stratum : scores) {
    pooled.emplace_back();
    for (const auto& cluster : stratum)
      pooled.back().insert(pooled.back().end(), cluster.begin(), cluster.end());
  }
  return pooled;
}

PooledScores Resample(const Scores& scores, const RandomStream& random, uint32_t resample) {
  MENTOR_CHECK(random.purpose == Purpose::kBootstrap);
  PooledScores drawn;
  uint32_t draw = 0;
  for (const auto& stratum : scores) {
    drawn.emplace_back();
    for (size_t c = 0; c < stratum.size(); ++c) {
      // A choice of one needs no draw.
      const auto& cluster = stratum.size() == 1
                                ? stratum[0]
                                : stratum[random.Below(stratum.size(), resample, draw++)];
      for (size_t i = 0; i < cluster.size(); ++i) {
        drawn.back().push_back(cluster.size() == 1
                                   ? cluster[0]
                                   : cluster[random.Below(cluster.size(), resample, draw++)]);
      }
    }
  }
  return drawn;
}

std::vector<Interval> BootstrapStratified(const Scores& scores, const Statistic& statistic,
                                          const RandomStream& random, int resamples) {
  MENTOR_CHECK(!scores.empty() && resamples > 0);
  const std::vector<double> values = statistic(Pool(scores));
  std::vector<std::vector<double>> resampled(values.size(), std::vector<double>(resamples));
  for (int r = 0; r < resamples; ++r) {
    const std::vector<double> drawn = statistic(Resample(scores, random, static_cast<uint32_t>(r)));
    for (size_t i = 0; i < values.size(); ++i) resampled[i][r] = drawn[i];
  }
  std::vector<Interval> intervals;
  for (size_t i = 0; i < values.size(); ++i)
    intervals.push_back(PercentileInterval(values[i], std::move(resampled[i])));
  return intervals;
}

double InterquartileMean(const PooledScores& scores) {
  return InterquartileMean(Flat(scores));
}

double Mean(const PooledScores& scores) {
  return Mean(Flat(scores));
}

std::vector<double> PerformanceProfile(const PooledScores& scores,
                                       std::span<const double> thresholds) {
  std::vector<double> shares(thresholds.size(), 0.0);
  for (const auto& stratum : scores) {
    const std::vector<double> sorted = Sorted(stratum);
    for (size_t i = 0; i < thresholds.size(); ++i) {
      const auto above =
          sorted.end() - std::upper_bound(sorted.begin(), sorted.end(), thresholds[i]);
      shares[i] += static_cast<double>(above) / static_cast<double>(sorted.size());
    }
  }
  for (double& share : shares) share /= static_cast<double>(scores.size());
  return shares;
}

double ProbabilityOfImprovement(const PooledScores& a, const PooledScores& b) {
  MENTOR_CHECK(a.size() == b.size() && !a.empty());
  double sum = 0;
  for (size_t s = 0; s < a.size(); ++s) {
    const std::vector<double> sorted = Sorted(b[s]);
    double wins = 0;
    for (const double x : a[s]) {
      const auto [begin, end] = std::equal_range(sorted.begin(), sorted.end(), x);
      wins += static_cast<double>(begin - sorted.begin()) + 0.5 * static_cast<double>(end - begin);
    }
    sum += wins / (static_cast<double>(a[s].size()) * static_cast<double>(b[s].size()));
  }
  return sum / static_cast<double>(a.size());
}

Interval BootstrapImprovement(const Scores& a, const Scores& b, const RandomStream& random,
                              int resamples) {
  RandomStream random_b = random;
  ++random_b.iteration;
  std::vector<double> resampled;
  for (int r = 0; r < resamples; ++r) {
    const auto step = static_cast<uint32_t>(r);
    resampled.push_back(
        ProbabilityOfImprovement(Resample(a, random, step), Resample(b, random_b, step)));
  }
  return PercentileInterval(ProbabilityOfImprovement(Pool(a), Pool(b)), std::move(resampled));
}

double Pearson(std::span<const double> x, std::span<const double> y) {
  MENTOR_CHECK(x.size() == y.size());
  if (x.size() < 2) return kNone;
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
  if (is_constant(x) || is_constant(y) || xx == 0 || yy == 0) return kNone;
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
  std::vector<double> means(x.size(), kNone);
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
