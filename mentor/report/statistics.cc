#include "mentor/report/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
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

  struct Sample {
    std::vector<size_t> rows;          // Drawn lifetimes by stratum and meta-seed.
    std::vector<size_t> seed_ends;     // End of each drawn meta-seed in `rows`.
    std::vector<size_t> stratum_ends;  // End of each stratum in `seed_ends`.
  };
  // Returns one resample; nullopt returns the sample itself.
  Sample Draw(const RandomStream& random, std::optional<uint32_t> resample) const {
    Sample sample;
    sample.rows.reserve(order_.size());
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
            sample.rows.push_back(order_[choose(goals_[goal], goals_[goal + 1], i)]);
        }
        sample.seed_ends.push_back(sample.rows.size());
      }
      sample.stratum_ends.push_back(sample.seed_ends.size());
    }
    return sample;
  }

 private:
  std::vector<size_t> order_;  // Indices of lifetimes.
  // Begins of strata in seeds_, of meta-seeds in goals_, and of goals in order_; each ends with the
  // end of the last.
  std::vector<size_t> strata_, seeds_, goals_;
};

// Draws resamples of two samples whose meta-seeds lived on the same goals.
class PairedResampler {
 public:
  // nullopt where the goals differ.
  static std::optional<PairedResampler> Of(std::span<const Levels> a, std::span<const Levels> b) {
    const Sorted of_a = SortedOf(a), of_b = SortedOf(b);
    PairedResampler pairs;
    std::map<std::pair<std::string, std::vector<Goal>>, Block> blocks;
    for (const Sorted* sorted : {&of_a, &of_b}) {
      for (const auto& [member, goals] : *sorted) {
        Block& block = blocks[{member.first, GoalsOf(goals)}];
        (sorted == &of_a ? block.a : block.b).push_back(RowsOf(goals));
      }
    }
    for (auto& [key, block] : blocks) {
      if (block.a.empty() || block.b.empty()) return std::nullopt;
      if (pairs.strata_.empty() || pairs.strata_.back().first != key.first)
        pairs.strata_.push_back({key.first, {}});
      pairs.strata_.back().second.push_back(std::move(block));
    }
    return pairs;
  }

  std::pair<Resampler::Sample, Resampler::Sample> Draw(const RandomStream& random,
                                                       std::optional<uint32_t> resample) const {
    std::pair<Resampler::Sample, Resampler::Sample> samples;
    uint32_t draws = 0;
    for (const auto& [environment, blocks] : strata_) {
      for (size_t i = 0; i < blocks.size(); ++i) {
        const Block& block = blocks[Choose(random, resample, blocks.size(), i, draws++)];
        const size_t goals = block.a[0].size();
        std::vector<size_t> drawn(goals);
        for (size_t g = 0; g < goals; ++g) drawn[g] = Choose(random, resample, goals, g, draws++);
        const auto choose_seeds = [&](const std::vector<Rows>& seeds) {
          std::vector<const Rows*> chosen;
          for (size_t s = 0; s < seeds.size(); ++s)
            chosen.push_back(&seeds[Choose(random, resample, seeds.size(), s, draws++)]);
          return chosen;
        };
        const std::vector<const Rows*> a = choose_seeds(block.a), b = choose_seeds(block.b);
        const uint32_t first = draws;  // Lifetimes of all seeds use the same draws.
        const auto add = [&](const std::vector<const Rows*>& seeds, Resampler::Sample* sample) {
          for (const Rows* rows : seeds) {
            uint32_t draw = first;
            for (const size_t goal : drawn) {
              const std::vector<size_t>& lives = (*rows)[goal];
              for (size_t i = 0; i < lives.size(); ++i)
                sample->rows.push_back(lives[Choose(random, resample, lives.size(), i, draw++)]);
            }
            draws = std::max(draws, draw);
            sample->seed_ends.push_back(sample->rows.size());
          }
        };
        add(a, &samples.first);
        add(b, &samples.second);
      }
      for (auto* sample : {&samples.first, &samples.second})
        sample->stratum_ends.push_back(sample->seed_ends.size());
    }
    return samples;
  }

 private:
  using Goal = std::pair<uint64_t, uint32_t>;
  using Goals = std::map<Goal, std::vector<size_t>>;               // Rows by goal.
  using Sorted = std::map<std::pair<std::string, size_t>, Goals>;  // By stratum and meta-seed.
  using Rows = std::vector<std::vector<size_t>>;                   // [goals][lifetimes]
  // Meta-seeds that lived on the same goals.
  struct Block {
    std::vector<Rows> a = {}, b = {};
  };

  static Sorted SortedOf(std::span<const Levels> levels) {
    Sorted sorted;
    for (size_t i = 0; i < levels.size(); ++i) {
      const Levels& own = levels[i];
      sorted[{own.environment, own.meta_seed}][{own.goal_seed, own.goal}].push_back(i);
    }
    return sorted;
  }
  static std::vector<Goal> GoalsOf(const Goals& goals) {
    std::vector<Goal> keys;
    for (const auto& [goal, rows] : goals) keys.push_back(goal);
    return keys;
  }
  static Rows RowsOf(const Goals& goals) {
    Rows all;
    for (const auto& [goal, rows] : goals) all.push_back(rows);
    return all;
  }
  // Returns a random one of `count` members in place of member i; a single one needs no draw.
  static size_t Choose(const RandomStream& random, std::optional<uint32_t> resample, size_t count,
                       size_t i, uint32_t draw) {
    return !resample || count == 1 ? i : random.Below(count, *resample, draw);
  }

  std::vector<std::pair<std::string, std::vector<Block>>> strata_;  // By environment.
};

// Returns percentile intervals of the values that `of` computes from resamples; nullopt stands for
// the sample itself.
std::vector<Interval> PercentileIntervals(
    const std::function<std::vector<double>(std::optional<uint32_t> resample)>& of, int resamples) {
  MENTOR_CHECK(resamples > 0);
  const std::vector<double> values = of(std::nullopt);
  std::vector<std::vector<double>> resampled(values.size());
  for (int r = 0; r < resamples; ++r) {
    const std::vector<double> drawn = of(static_cast<uint32_t>(r));
    for (size_t i = 0; i < values.size(); ++i) {
      if (!std::isnan(drawn[i])) resampled[i].push_back(drawn[i]);
    }
  }
  std::vector<Interval> intervals;
  for (size_t i = 0; i < values.size(); ++i) {
    std::vector<double>& sorted = resampled[i];
    std::sort(sorted.begin(), sorted.end());
    intervals.push_back(sorted.empty() ? Interval{values[i], kNone, kNone}
                                       : Interval{values[i], Quantile(sorted, kLowQuantile),
                                                  Quantile(sorted, kHighQuantile)});
  }
  return intervals;
}

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

PooledScores Pool(const Scores& scores, const Resampler::Sample& sample) {
  PooledScores pooled;
  size_t seed = 0, row = 0;
  for (const size_t end : sample.stratum_ends) {
    std::vector<double>& stratum = pooled.emplace_back();
    for (; seed < end; ++seed) {
      double sum = 0;
      const size_t first = row;
      for (; row < sample.seed_ends[seed]; ++row) {
        const double value = scores.values[sample.rows[row]];
        sum += value;
        if (!scores.of_seeds) stratum.push_back(value);
      }
      if (scores.of_seeds) stratum.push_back(sum / static_cast<double>(row - first));
    }
  }
  return pooled;
}

Interval BootstrapPair(const Scores& a, const Scores& b, const RandomStream& random, int resamples,
                       const std::function<double(const PooledScores&, const PooledScores&)>& of) {
  MENTOR_CHECK(random.purpose == Purpose::kBootstrap);
  RandomStream random_b = random;
  ++random_b.iteration;
  const Resampler from_a(a.levels), from_b(b.levels);
  return PercentileIntervals(
      [&](std::optional<uint32_t> resample) {
        return std::vector<double>{
            of(Pool(a, from_a.Draw(random, resample)), Pool(b, from_b.Draw(random_b, resample)))};
      },
      resamples)[0];
}

}  // namespace

double Quantile(std::span<const double> sorted, double q) {
  MENTOR_CHECK(!sorted.empty() && q >= 0 && q <= 1);
  const double place = q * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(std::floor(place));
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

std::vector<double> ColumnMeans(const std::vector<std::vector<double>>& rows) {
  std::vector<size_t> all(rows.size());
  std::iota(all.begin(), all.end(), size_t{0});
  return ColumnMeans(rows, all);
}

std::vector<Interval> BootstrapMeans(std::span<const Levels> levels,
                                     const std::vector<std::vector<double>>& rows,
                                     const RandomStream& random, int resamples) {
  MENTOR_CHECK(!rows.empty() && rows.size() == levels.size() &&
               random.purpose == Purpose::kBootstrap);
  for (const auto& row : rows) MENTOR_CHECK(row.size() == rows[0].size());
  const Resampler resampler(levels);
  return PercentileIntervals(
      [&](std::optional<uint32_t> resample) {
        return ColumnMeans(rows, resampler.Draw(random, resample).rows);
      },
      resamples);
}

Interval BootstrapMeanOfSeeds(std::span<const double> seeds, const RandomStream& random,
                              int resamples) {
  std::vector<Levels> levels;
  std::vector<std::vector<double>> rows;
  for (size_t i = 0; i < seeds.size(); ++i) {
    levels.push_back({.meta_seed = i});
    rows.push_back({seeds[i]});
  }
  return BootstrapMeans(levels, rows, random, resamples)[0];
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
  return Pool(scores, Resampler(scores.levels).Draw(BootstrapStream(), std::nullopt));
}

std::vector<Scores> BySeed(const Scores& scores) {
  std::map<size_t, Scores> seeds;
  for (size_t i = 0; i < scores.values.size(); ++i) {
    Scores& own = seeds[scores.levels[i].meta_seed];
    own.of_seeds = scores.of_seeds;
    own.levels.push_back(scores.levels[i]);
    own.values.push_back(scores.values[i]);
  }
  std::vector<Scores> all;
  for (auto& [seed, own] : seeds) all.push_back(std::move(own));
  return all;
}

std::vector<Interval> BootstrapStratified(const Scores& scores, const Statistic& statistic,
                                          const RandomStream& random, int resamples) {
  MENTOR_CHECK(random.purpose == Purpose::kBootstrap);
  const Resampler resampler(scores.levels);
  return PercentileIntervals(
      [&](std::optional<uint32_t> resample) {
        return statistic(Pool(scores, resampler.Draw(random, resample)));
      },
      resamples);
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
  return BootstrapPair(a, b, random, resamples, ProbabilityOfImprovement);
}

Interval BootstrapDifference(const Scores& a, const Scores& b, const RandomStream& random,
                             int resamples) {
  return BootstrapPair(a, b, random, resamples, [](const PooledScores& x, const PooledScores& y) {
    return Mean(x) - Mean(y);
  });
}

Difference DifferenceOfMeans(const Scores& a, const Scores& b, const RandomStream& random,
                             int resamples) {
  MENTOR_CHECK(random.purpose == Purpose::kBootstrap);
  const auto pairs = PairedResampler::Of(a.levels, b.levels);
  if (!pairs) return {BootstrapDifference(a, b, random, resamples), false};
  const auto difference = [&](std::optional<uint32_t> resample) {
    const auto [of_a, of_b] = pairs->Draw(random, resample);
    return std::vector<double>{Mean(Pool(a, of_a)) - Mean(Pool(b, of_b))};
  };
  return {PercentileIntervals(difference, resamples)[0], true};
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
