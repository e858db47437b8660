// The tables of a comparison and their summary in words.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "mentor/report/comparison.h"
#include "mentor/report/summary.h"
#include "mentor/report/verdict.h"
#include "mentor/report/words.h"

namespace mentor::report {
namespace {

using Kind = Table::Cell::Kind;

constexpr size_t kPartsShown = 6;

size_t Count(const Scores& scores) {
  size_t count = 0;
  for (const auto& stratum : Pool(scores)) count += stratum.size();
  return count;
}

Table::Cell Whole(double value) {
  if (!std::isfinite(value)) return Table::None();
  return Table::Number(value, Grouped(static_cast<uint64_t>(std::llround(value))));
}

std::string UnitWords(const Ranking& ranking) {
  return ranking.unit == Unit::kSeed
             ? "the mean over the lifetimes of one meta-seed (of PPO: of one goal seed)"
             : "that of one agent's lifetime";
}

std::string SplitTitle(const Ranking& ranking) {
  return QuantityWords(ranking.quantity) + ", " + GoalsOf(ranking.split, ranking.has_goals);
}

// A statistic of scores with its interval; with several meta-seeds also each meta-seed's own value.
struct Aggregate {
  Interval interval;
  std::vector<double> by_seed = {};
};
std::vector<Aggregate> AggregatesOf(const Scores& scores, const Statistic& statistic) {
  std::vector<Aggregate> all;
  for (const Interval& interval : BootstrapStratified(scores, statistic, BootstrapStream()))
    all.push_back({interval});
  const std::vector<Scores> seeds = BySeed(scores);
  for (const Scores& seed : seeds) {
    const std::vector<double> own = statistic(Pool(seed));
    for (size_t i = 0; i < all.size() && seeds.size() > 1; ++i) all[i].by_seed.push_back(own[i]);
  }
  return all;
}

Table::Cell CellOf(const Aggregate& aggregate) {
  return Table::Value(aggregate.interval, aggregate.by_seed);
}

std::vector<double> MeanMiddleMedian(const PooledScores& scores) {
  std::vector<double> all;
  for (const auto& stratum : scores) all.insert(all.end(), stratum.begin(), stratum.end());
  return {Mean(scores), InterquartileMean(scores), Median(all)};
}

// Adds the columns of statistics, or the cells of a row below them.
void AddStatistics(bool middle, std::vector<Table::Column>* columns) {
  for (const char* name : {"mean", "IQM", "median"}) {
    columns->push_back({name, Kind::kInterval, /*by_seed=*/true});
    if (!middle) return;
  }
}
void AddStatistics(bool middle, const Scores& scores, std::vector<Table::Cell>* cells) {
  for (const Aggregate& aggregate : AggregatesOf(scores, MeanMiddleMedian)) {
    cells->push_back(CellOf(aggregate));
    if (!middle) return;
  }
}

Table ScoreTable(const Ranking& ranking) {
  const bool middle = MiddleTells(ranking);
  std::vector<Table::Column> columns = {{"method"},
                                        {"meta-seeds", Kind::kNumber},
                                        {"scores", Kind::kNumber},
                                        {"lifetimes", Kind::kNumber}};
  AddStatistics(middle, &columns);
  Table table(
      "scores_" + FileName(ranking.split),
      absl::StrFormat("Scores at the end of a lifetime: %s; a score is %s%s", SplitTitle(ranking),
                      UnitWords(ranking),
                      middle ? "" : "; most are 0 or 1, so only their mean means something"),
      columns);
  for (const Contender& contender : ranking.contenders) {
    const Scores scores = ScoresOf(ranking, contender);
    if (scores.empty()) continue;
    const size_t seeds = BySeed(scores).size();
    std::vector<Table::Cell> cells = {
        Table::Text(contender.name),
        contender.learned() || seeds > 1 ? Whole(static_cast<double>(seeds)) : Table::None(),
        Whole(static_cast<double>(Count(scores))),
        Whole(static_cast<double>(contender.rows.size()))};
    AddStatistics(middle, scores, &cells);
    table.Add(std::move(cells));
  }
  return table;
}

// Returns the values of one lifetime by part; NaN for a part without a value.
std::vector<double> PartsOf(const Ranking& ranking, const Contender& contender, size_t row,
                            const std::vector<int>& parts) {
  const EvaluationRow& one = *contender.rows[row].row;
  const std::vector<double>& means = contender.iterations[row];
  const auto& values =
      ranking.quantity == Quantity::kSuccess ? one.episode_success : one.episode_return;
  const auto mean = [](const std::vector<double>& of, int begin, int end) {
    if (end <= begin) return kNone;
    return std::accumulate(of.begin() + begin, of.begin() + end, 0.0) / (end - begin);
  };
  std::vector<double> numbers;
  for (const int part : parts)
    numbers.push_back(part < static_cast<int>(means.size()) ? means[part] : kNone);
  const int end = one.lifetime_episodes;
  numbers.push_back(values[end - 1]);
  numbers.push_back(mean(values, end, static_cast<int>(values.size())));
  const int own = one.segment_episodes.empty() ? std::max(1, end / contender.rows[row].iterations)
                                               : std::max(1, one.segment_episodes.back());
  numbers.push_back(
      one.episode_return.empty() ? kNone : mean(one.episode_return, std::max(0, end - own), end));
  return numbers;
}

// Returns the table of means by part of the lifetime.
Table PartTable(const Ranking& ranking) {
  int longest = 1;
  for (const Contender& contender : ranking.contenders)
    for (const auto& means : contender.iterations)
      longest = std::max(longest, static_cast<int>(means.size()));
  std::vector<int> parts;
  const size_t shown = std::min<size_t>(kPartsShown, static_cast<size_t>(longest));
  for (size_t i = 0; i < shown; ++i)
    parts.push_back(shown < 2 ? 0 : static_cast<int>(i * (longest - 1) / (shown - 1)));
  std::vector<Table::Column> columns = {{"method"}};
  for (const int part : parts)
    columns.push_back({PartName(part, static_cast<size_t>(longest)), Kind::kInterval, true});
  for (const char* name : {kLastEpisode, kWithoutNoise, "shaped return"})
    columns.push_back({name, Kind::kInterval, /*by_seed=*/true});
  Table table("parts_" + FileName(ranking.split),
              "Means by part of the lifetime: " + SplitTitle(ranking), columns);
  for (const Contender& contender : ranking.contenders) {
    std::vector<Levels> levels;
    std::vector<std::vector<double>> numbers;
    std::map<size_t, std::vector<std::vector<double>>> seeds;
    for (size_t i = 0; i < contender.rows.size(); ++i) {
      const Contender::Row& row = contender.rows[i];
      if (!ranking.Has(row.row->environment)) continue;
      levels.push_back(LevelsOf(*row.row, row.meta_seed));
      numbers.push_back(PartsOf(ranking, contender, i, parts));
      seeds[row.meta_seed].push_back(numbers.back());
    }
    const std::vector<Interval> intervals = BootstrapMeans(levels, numbers, BootstrapStream());
    std::vector<std::vector<double>> by_seed(intervals.size());
    for (const auto& [seed, own] : seeds) {
      const std::vector<double> means = ColumnMeans(own);
      for (size_t c = 0; c < means.size() && seeds.size() > 1; ++c) by_seed[c].push_back(means[c]);
    }
    std::vector<Table::Cell> cells = {Table::Text(contender.name)};
    for (size_t c = 0; c < intervals.size(); ++c)
      cells.push_back(Table::Value(intervals[c], by_seed[c]));
    table.Add(std::move(cells));
  }
  return table;
}

Table EnvironmentTable(const Ranking& ranking) {
  Table table("environments_" + FileName(ranking.split),
              "By environment: mean " + SplitTitle(ranking) + " at the end of a lifetime",
              {{"environment"}, {"method"}, {"mean", Kind::kInterval, /*by_seed=*/true}});
  if (ranking.environments.size() < 2) return table;
  for (const std::string& environment : ranking.environments) {
    Ranking one{.split = ranking.split,
                .quantity = ranking.quantity,
                .unit = ranking.unit,
                .environments = {environment},
                .contenders = {}};
    for (const Contender& contender : ranking.contenders) {
      const Scores scores = ScoresOf(one, contender);
      if (scores.empty()) continue;
      table.Add({Table::Text(environment), Table::Text(contender.name),
                 CellOf(AggregatesOf(scores, MeanMiddleMedian)[0])});
    }
  }
  return table;
}

Table DifferenceTable(const Ranking& ranking) {
  Table table("differences_" + FileName(ranking.split),
              "Differences of two means, and the probability that a score of one method is higher "
              "than one of the other: " +
                  SplitTitle(ranking),
              {{"method"},
               {"against"},
               {"difference", Kind::kInterval},
               {"reading"},
               {"paired by goal"},
               {"probability", Kind::kInterval}});
  for (size_t a = 0; a < ranking.contenders.size(); ++a) {
    const Contender& x = ranking.contenders[a];
    if (!x.learned()) continue;
    for (size_t b = 0; b < ranking.contenders.size(); ++b) {
      const Contender& y = ranking.contenders[b];
      // List each pair of learned methods once. Comparable pairs best weights only with best
      // weights.
      if (a == b || (y.learned() && b < a) || !Comparable(x, y)) continue;
      const Scores own = ScoresOf(ranking, x), other = ScoresOf(ranking, y);
      if (own.empty() || other.empty()) continue;
      const auto [difference, paired] = DifferenceOfMeans(own, other, BootstrapStream());
      table.Add({Table::Text(x.name), Table::Text(y.name), Table::Value(difference),
                 Table::Text(WordOf(VerdictOf(difference))), Table::Text(paired ? "yes" : "no"),
                 Table::Value(BootstrapImprovement(own, other, BootstrapStream()))});
    }
  }
  return table;
}

double MeanMetric(const ReportData& data, const std::string& metric) {
  double sum = 0;
  int count = 0;
  for (const TrainingPoint& point : data.training) {
    const auto found = point.metrics.find(metric);
    if (found == point.metrics.end() || !std::isfinite(found->second)) continue;
    sum += found->second;
    ++count;
  }
  return count > 0 ? sum / count : kNone;
}

double Greatest(const ReportData& data, const std::string& metric) {
  double greatest = kNone;
  for (const TrainingPoint& point : data.training) {
    const auto found = point.metrics.find(metric);
    if (found != point.metrics.end() && !(found->second <= greatest)) greatest = found->second;
  }
  return greatest;
}

// Returns the mean over the runs of a group that have the number.
double OverRuns(const Group& group, const std::function<double(const ReportData&)>& number) {
  double sum = 0;
  int count = 0;
  for (const ComparedRun* run : group.runs) {
    const double value = number(run->data);
    if (!std::isfinite(value)) continue;
    sum += value;
    ++count;
  }
  return count > 0 ? sum / count : kNone;
}

Table CostTable(const std::vector<Group>& groups) {
  Table table("cost",
              "What meta-training cost: means over the runs of a method; CPU seconds are of "
              "one outer update, gradient noise is the variance of the outer gradient as a share "
              "of its squared norm",
              {{"method"},
               {"rule"},
               {"runs", Kind::kNumber},
               {"outer updates", Kind::kNumber},
               {"env steps", Kind::kNumber},
               {"wall s", Kind::kNumber},
               {"wall s / update", Kind::kNumber},
               {"env steps / s", Kind::kNumber},
               {"simulation", Kind::kNumber},
               {"policy", Kind::kNumber},
               {"signal", Kind::kNumber},
               {"inner updates", Kind::kNumber},
               {"outer rule", Kind::kNumber},
               {"peak MiB", Kind::kNumber},
               {"gradient norm", Kind::kNumber},
               {"gradient variance", Kind::kNumber},
               {"gradient noise", Kind::kNumber}});
  const auto number = [](double value) {
    return Table::Number(value, absl::StrFormat("%.3g", value));
  };
  const bool alike = EstimateVarianceAlike(groups);
  for (const Group& group : groups) {
    const auto mean = [&](const std::string& metric) {
      return OverRuns(group, [&](const ReportData& data) { return MeanMetric(data, metric); });
    };
    const auto last = [&](auto member) {
      return OverRuns(group, [&](const ReportData& data) {
        return data.training.empty() ? 0.0 : static_cast<double>(data.training.back().*member);
      });
    };
    const double wall = OverRuns(group, [](const ReportData& data) {
      return UpdatesBefore(data.training) > 0
                 ? kNone
                 : MeanMetric(data, "wall_seconds") * static_cast<double>(data.training.size());
    });
    const double steps = last(&TrainingPoint::env_steps);
    const double speed = OverRuns(group, [](const ReportData& data) {
      const double own = StepsPerSecond(data.training);
      return own > 0 ? own : kNone;
    });
    const double rollout = mean("rollout_seconds"), policy = mean("policy_seconds");
    table.Add({Table::Text(group.name), Table::Text(group.runs[0]->data.identity.rule),
               Whole(static_cast<double>(group.runs.size())),
               Whole(last(&TrainingPoint::outer_update)), Whole(steps), number(wall),
               number(mean("wall_seconds")), number(speed),
               number(std::isfinite(policy) ? std::max(0.0, rollout - policy) : rollout),
               number(policy), number(mean("signal_seconds")), number(mean("update_seconds")),
               number(mean("outer_seconds")),
               Whole(OverRuns(group,
                              [](const ReportData& data) {
                                return Greatest(data, "peak_memory_bytes") / (1 << 20);
                              })),
               number(mean("grad_norm")), number(alike ? mean("outer_grad_variance") : kNone),
               number(alike ? mean("outer_grad_noise") : kNone)});
  }
  return table;
}

Table RunTable(const std::vector<Group>& groups) {
  Table table("runs", "The runs",
              {{"method"},
               {"run"},
               {"meta-seed"},
               {"outer updates", Kind::kNumber},
               {"best weights", Kind::kNumber},
               {"hash"}});
  for (const Group& group : groups) {
    for (const ComparedRun* run : group.runs) {
      const ReportData& data = run->data;
      const auto best = BestUpdate(data.training, data.evaluated_update);
      table.Add(
          {Table::Text(group.name), Table::Text(run->name), Table::Text(MetaSeedName(groups, *run)),
           Whole(data.training.empty() ? 0 : data.training.back().outer_update),
           best ? Whole(*best) : Table::None(),
           Table::Text(data.identity.state_hash.empty() ? "-"
                                                        : data.identity.state_hash.substr(0, 16))});
    }
  }
  return table;
}

// Compares x with the others in words; empty when none is comparable.
std::string AgainstOthers(const Ranking& ranking, const Contender& x,
                          const std::vector<const Contender*>& others) {
  std::vector<std::string> words;
  for (const Contender* y : others) {
    const Scores own = ScoresOf(ranking, x), other = ScoresOf(ranking, *y);
    if (own.empty() || other.empty()) continue;
    const Interval difference = DifferenceOfMeans(own, other, BootstrapStream()).interval;
    const Verdict verdict = VerdictOf(difference);
    words.push_back(absl::StrCat(verdict == Verdict::kAlike ? "" : "is ", WordsOf(verdict, y->name),
                                 " (difference ", FormatInterval(difference), ")"));
  }
  return words.empty() ? "" : x.name + " " + absl::StrJoin(words, "; ") + ".";
}

// Summarises the ranking in words. The best method against the others comes first. The order of
// the means and the methods that beat the baselines follow.
void Say(const Ranking& ranking, std::vector<std::string>* summary) {
  struct Ranked {
    const Contender* contender;
    Aggregate mean;
  };
  std::vector<Ranked> order;
  for (const Contender& contender : ranking.contenders) {
    const Scores scores = ScoresOf(ranking, contender);
    if (scores.empty() || contender.best()) continue;
    order.push_back({&contender, AggregatesOf(scores, MeanMiddleMedian)[0]});
  }
  std::stable_sort(order.begin(), order.end(), [](const Ranked& a, const Ranked& b) {
    return a.mean.interval.mean > b.mean.interval.mean;
  });
  std::vector<std::string> words;
  std::vector<const Contender*> learned;
  bool by_seed = false;
  for (const auto& [contender, mean] : order) {
    words.push_back(contender->name + " " + FormatInterval(mean.interval, mean.by_seed));
    by_seed = by_seed || !mean.by_seed.empty();
    if (contender->learned()) learned.push_back(contender);
  }
  if (learned.size() > 1) {
    const std::vector<const Contender*> rest(learned.begin() + 1, learned.end());
    if (std::string text = AgainstOthers(ranking, *learned[0], rest); !text.empty())
      summary->insert(summary->begin(), std::move(text));
  }
  summary->push_back(absl::StrFormat(
      "Mean %s, at the end of a lifetime%s: %s.", SplitTitle(ranking),
      by_seed ? " (in parentheses: of each meta-seed)" : "", absl::StrJoin(words, ", ")));
  for (const Contender& x : ranking.contenders) {
    if (!x.learned() || x.best()) continue;
    std::vector<const Contender*> baselines;
    for (const Contender& y : ranking.contenders) {
      if (!y.learned() && Comparable(x, y)) baselines.push_back(&y);
    }
    if (std::string text = AgainstOthers(ranking, x, baselines); !text.empty())
      summary->push_back(std::move(text));
  }
}

}  // namespace

bool MiddleTells(const Ranking& ranking) {
  if (ranking.quantity == Quantity::kReturn) return true;
  return std::none_of(ranking.contenders.begin(), ranking.contenders.end(),
                      [&](const Contender& contender) {
                        const Scores scores = ScoresOf(ranking, contender);
                        if (scores.empty()) return false;
                        size_t all = 0, at_ends = 0;
                        double least = 1, greatest = 0;
                        for (const auto& stratum : Pool(scores)) {
                          for (const double score : stratum) {
                            ++all;
                            at_ends += score == 0 || score == 1;
                            least = std::min(least, score), greatest = std::max(greatest, score);
                          }
                        }
                        return 2 * at_ends > all && least < greatest;
                      });
}

ComparisonTables Tabulate(const std::vector<Group>& groups, const std::vector<Ranking>& rankings) {
  ComparisonTables result;
  size_t runs = 0;
  std::set<std::string> protocols;
  for (const Group& group : groups) {
    runs += group.runs.size();
    protocols.insert(ProtocolOf(group));
  }
  result.summary.push_back(Several(runs, "run") + " of " + Several(groups.size(), "method") + ".");
  if (protocols.size() > 1) {
    result.summary.push_back(
        "Take care: the methods differ in tasks, lifetimes or agents, so each has its own "
        "baselines.");
  }
  if (std::string budgets = BudgetWords(groups); !budgets.empty())
    result.summary.push_back(std::move(budgets));
  if (std::string unknown = UnknownCosts(groups); !unknown.empty())
    result.summary.push_back(std::move(unknown));
  result.tables.push_back(BudgetTable(groups));
  for (const Ranking& ranking : rankings) {
    result.tables.push_back(ScoreTable(ranking));
    result.tables.push_back(PartTable(ranking));
    result.tables.push_back(EnvironmentTable(ranking));
    result.tables.push_back(DifferenceTable(ranking));
  }
  result.tables.push_back(CostTable(groups));
  result.tables.push_back(RunTable(groups));
  if (rankings.empty()) {
    bool evaluated = false;
    for (const Group& group : groups) {
      for (const ComparedRun* run : group.runs)
        evaluated = evaluated || !run->data.evaluation.empty();
    }
    result.summary.push_back(
        evaluated ? "The methods were evaluated in no common environment, so their scores cannot "
                    "be compared: mentor evaluate RUN... --tasks ..."
                  : "No run has been evaluated yet: mentor evaluate RUN...");
    return result;
  }
  Say(rankings[0], &result.summary);
  std::vector<std::string> single;
  for (const Group& group : groups) {
    if (group.runs.size() == 1) single.push_back(group.name);
  }
  if (!single.empty()) {
    result.summary.push_back(absl::StrCat(
        "One seed",
        single.size() == groups.size() ? "" : absl::StrFormat(" (%s)", absl::StrJoin(single, ", ")),
        ": the intervals cover other goals and lifetimes, not other meta-seeds, with which "
        "meta-training may turn out differently."));
  }
  return result;
}

}  // namespace mentor::report
