#include "cli/report/statistics.h"

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

  std::pair<std::vector<size_t>, std::vector<size_t>> Draw(const RandomStream& random,
                                                           std::optional<uint32_t> resample) const {
    std::pair<std::vector<size_t>, std::vector<size_t>> samples;
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
        const auto add = [&](const std::vector<const Rows*>& seeds, std::vector<size_t>* sample) {
          for (const Rows* rows : seeds) {
            uint32_t draw = first;
            for (const size_t goal : drawn) {
              const std::vector<size_t>& lives = (*rows)[goal];
              for (size_t i = 0; i < lives.size(); ++i)
                sample->push_back(lives[Choose(random, resample, lives.size(), i, draw++)]);
            }
            draws = std::max(draws, draw);
          }
        };
        add(a, &samples.first);
        add(b, &samples.second);
      }
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

double MeanOf(const Scores& scores, const std::vector<size_t>& rows) {
  double sum = 0;
  for (const size_t row : rows) sum += scores.values[row];
  return sum / static_cast<double>(rows.size());
}

Interval DifferenceOfIndependent(const Scores& a, const Scores& b, const RandomStream& random,
                                 int resamples) {
  RandomStream random_b = random;
  ++random_b.iteration;
  const Resampler from_a(a.levels), from_b(b.levels);
  return PercentileIntervals(
      [&](std::optional<uint32_t> resample) {
        return std::vector<double>{MeanOf(a, from_a.Draw(random, resample)) -
                                   MeanOf(b, from_b.Draw(random_b, resample))};
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

std::vector<Interval> BootstrapMeans(std::span<const Levels> levels,
                                     const std::vector<std::vector<double>>& rows,
                                     const RandomStream& random, int resamples) {
  MENTOR_CHECK(!rows.empty() && rows.size() == levels.size() &&
               random.purpose == Purpose::kBootstrap);
  for (const auto& row : rows) MENTOR_CHECK(row.size() == rows[0].size());
  const Resampler resampler(levels);
  return PercentileIntervals(
      [&](std::optional<uint32_t> resample) {
        return ColumnMeans(rows, resampler.Draw(random, resample));
      },
      resamples);
}

double Median(std::span<const double> x) {
  std::vector<double> sorted(x.begin(), x.end());
  std::sort(sorted.begin(), sorted.end());
  return Quantile(sorted, 0.5);
}

Difference DifferenceOfMeans(const Scores& a, const Scores& b, const RandomStream& random,
                             int resamples) {
  MENTOR_CHECK(random.purpose == Purpose::kBootstrap);
  const auto pairs = PairedResampler::Of(a.levels, b.levels);
  if (!pairs) return {DifferenceOfIndependent(a, b, random, resamples), false};
  const auto difference = [&](std::optional<uint32_t> resample) {
    const auto [of_a, of_b] = pairs->Draw(random, resample);
    return std::vector<double>{MeanOf(a, of_a) - MeanOf(b, of_b)};
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

}  // namespace mentor::report
