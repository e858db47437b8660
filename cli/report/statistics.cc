#include "cli/report/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "common/check.h"

namespace mentor::report {
namespace {

constexpr double kLowQuantile = 0.025, kHighQuantile = 0.975;

double Mean(std::span<const double> x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}

// Sorts lifetimes by their levels, and draws resamples from them.
class Resampler {
 public:
  explicit Resampler(std::span<const Levels> levels) : order_(levels.size()) {
    MENTOR_CHECK(!levels.empty());
    std::iota(order_.begin(), order_.end(), size_t{0});
    std::stable_sort(order_.begin(), order_.end(),
                     [&](size_t a, size_t b) { return levels[a] < levels[b]; });
    for (size_t i = 0; i < order_.size(); ++i) {
      const Levels& own = levels[order_[i]];
      const Levels* before = i == 0 ? nullptr : &levels[order_[i - 1]];
      const bool new_stratum = before == nullptr || before->environment != own.environment;
      const bool new_seed = new_stratum || before->meta_seed != own.meta_seed;
      if (new_stratum) strata_.push_back(seeds_.size());
      if (new_seed) seeds_.push_back(goals_.size());
      if (new_seed || *before != own) goals_.push_back(i);
    }
    goals_.push_back(order_.size());
    seeds_.push_back(goals_.size() - 1);
    strata_.push_back(seeds_.size() - 1);
  }

  // Returns the lifetimes of one resample; nullopt returns the sample itself.
  std::vector<size_t> Draw(const RandomStream& random, std::optional<uint32_t> resample) const {
    std::vector<size_t> rows;
    rows.reserve(order_.size());
    uint32_t draw = 0;
    // Returns a random member of first .. end-1 in place of member i. A single member needs no
    // draw.
    const auto choose = [&](size_t first, size_t end, size_t i) {
      return !resample || end - first == 1 ? i
                                           : first + random.Below(end - first, *resample, draw++);
    };
    for (size_t stratum = 0; stratum + 1 < strata_.size(); ++stratum) {
      const size_t first_seed = strata_[stratum], end_seed = strata_[stratum + 1];
      for (size_t s = first_seed; s < end_seed; ++s) {
        const size_t seed = choose(first_seed, end_seed, s);
        const size_t first_goal = seeds_[seed], end_goal = seeds_[seed + 1];
        for (size_t g = first_goal; g < end_goal; ++g) {
          const size_t goal = choose(first_goal, end_goal, g);
          for (size_t i = goals_[goal]; i < goals_[goal + 1]; ++i)
            rows.push_back(order_[choose(goals_[goal], goals_[goal + 1], i)]);
        }
      }
    }
    return rows;
  }

 private:
  std::vector<size_t> order_;  // Indices of lifetimes.
  // Begins of strata in seeds_, of meta-seeds in goals_, and of goals in order_; each ends with the
  // end of the last.
  std::vector<size_t> strata_, seeds_, goals_;
};

std::vector<double> ColumnMeans(const std::vector<std::vector<double>>& rows,
                                std::span<const size_t> places) {
  const size_t columns = rows[0].size();
  std::vector<double> means(columns, 0.0), counts(columns, 0.0);
  for (const size_t place : places) {
    const std::vector<double>& row = rows[place];
    for (size_t c = 0; c < columns; ++c) {
      const bool is_number = !std::isnan(row[c]);
      means[c] += is_number ? row[c] : 0;
      counts[c] += is_number ? 1 : 0;
    }
  }
  for (size_t c = 0; c < columns; ++c) means[c] = counts[c] > 0 ? means[c] / counts[c] : kNone;
  return means;
}

}  // namespace

double Quantile(std::span<const double> sorted, double q) {
  MENTOR_CHECK(!sorted.empty() && q >= 0 && q <= 1);
  const double place = q * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(std::floor(place));
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

std::vector<Interval> BootstrapMeans(std::span<const Levels> levels,
                                     const std::vector<std::vector<double>>& rows,
                                     const RandomStream& random, int resamples) {
  MENTOR_CHECK(!rows.empty() && rows.size() == levels.size() &&
               random.purpose == Purpose::kBootstrap);
  for (const auto& row : rows) MENTOR_CHECK(row.size() == rows[0].size());
  MENTOR_CHECK(resamples > 0);
  const Resampler resampler(levels);
  const std::vector<double> means = ColumnMeans(rows, resampler.Draw(random, std::nullopt));
  std::vector<std::vector<double>> resampled(means.size());
  for (int r = 0; r < resamples; ++r) {
    const std::vector<double> drawn =
        ColumnMeans(rows, resampler.Draw(random, static_cast<uint32_t>(r)));
    for (size_t i = 0; i < means.size(); ++i) {
      if (!std::isnan(drawn[i])) resampled[i].push_back(drawn[i]);
    }
  }
  std::vector<Interval> intervals;
  for (size_t i = 0; i < means.size(); ++i) {
    std::vector<double>& sorted = resampled[i];
    std::sort(sorted.begin(), sorted.end());
    intervals.push_back(sorted.empty() ? Interval{means[i], kNone, kNone}
                                       : Interval{means[i], Quantile(sorted, kLowQuantile),
                                                  Quantile(sorted, kHighQuantile)});
  }
  return intervals;
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
  // Read constancy off the values, because a constant series leaves rounding errors.
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

}  // namespace mentor::report
