// The figures of a comparison.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/evaluation_method.h"
#include "mentor/report/comparison.h"
#include "mentor/report/summary.h"
#include "mentor/report/words.h"

namespace mentor::report {
namespace {

constexpr int kThresholds = 50;

double Finite(double value, double otherwise) {
  return std::isfinite(value) ? value : otherwise;
}

Series Line(const std::string& name, const Style& style, bool points) {
  return {.name = name,
          .style = style,
          .kind = points ? Series::Kind::kLineAndPoints : Series::Kind::kLine,
          .intervals = true};
}

// Converts environment steps along x to a unit that keeps the numbers short.
void ShortenSteps(Panel* panel) {
  double most = 0;
  for (const Series& series : panel->series) {
    for (const Place& place : series.places) most = std::max(most, place.x);
  }
  const StepUnit unit = StepUnitOf(most);
  panel->x.label = unit.prefix + panel->x.label;
  for (Series& series : panel->series) {
    for (Place& place : series.places) place.x /= unit.steps;
  }
}

// A panel whose rows show a value with its interval, with names on the left.
Panel Rows(const std::string& label) {
  return {.x = {}, .y = {.label = label}, .transposed = true};
}
void AddRow(const std::string& name, const std::string& series, const Style& style,
            const Interval& value, Panel* panel) {
  const double place = static_cast<double>(panel->x.names.size());
  panel->x.names.push_back(name);
  panel->series.push_back({.name = series,
                           .style = style,
                           .kind = Series::Kind::kIntervals,
                           .places = {{place, value}},
                           .intervals = true});
}

// Returns final weights if there are any: figures with both kinds of weights would be too full.
std::vector<const Contender*> Shown(const Ranking& ranking) {
  std::vector<const Contender*> shown;
  for (const Contender& contender : ranking.contenders) {
    if (!contender.best() && !ScoresOf(ranking, contender).empty()) shown.push_back(&contender);
  }
  return shown;
}

// The mean score of a contender after inner iteration `iteration`; -1: the last.
std::optional<Interval> MeanScore(const Ranking& ranking, const Contender& contender,
                                  int iteration = -1, int resamples = kBootstrapResamples) {
  const Scores scores = ScoresOf(ranking, contender, iteration);
  if (scores.empty()) return std::nullopt;
  return BootstrapStratified(
      scores, [](const PooledScores& s) { return std::vector<double>{Mean(s)}; }, BootstrapStream(),
      resamples)[0];
}

void DrawScores(const Ranking& ranking, Drawing* drawing) {
  Panel panel = Rows("mean " + QuantityWords(ranking.quantity));
  for (const Contender* contender : Shown(ranking))
    AddRow(contender->name, contender->name, contender->style, *MeanScore(ranking, *contender),
           &panel);
  const std::string split = FileName(ranking.split);
  const int height = 100 + 34 * static_cast<int>(panel.x.names.size());
  AddFigure({.name = "means_" + split,
             .section = "evaluation_" + split,
             .title = Capitalised(QuantityWords(ranking.quantity)) + " by method",
             .caption = "Mean at the end of a lifetime, with 95 % intervals.",
             .panels = {std::move(panel)},
             .height = height},
            drawing);
}

void DrawProfiles(const Ranking& ranking, Drawing* drawing) {
  double low = 0, high = 1;
  if (ranking.quantity == Quantity::kReturn) {
    low = std::numeric_limits<double>::infinity();
    high = -low;
    for (const Contender* contender : Shown(ranking)) {
      for (const auto& stratum : Pool(ScoresOf(ranking, *contender))) {
        for (const double score : stratum) low = std::min(low, score), high = std::max(high, score);
      }
    }
    if (!(high > low)) return;
  }
  std::vector<double> thresholds;
  for (int i = 0; i <= kThresholds; ++i) thresholds.push_back(low + (high - low) * i / kThresholds);
  Panel panel{.x = {.label = QuantityWords(ranking.quantity), .low = low, .high = high},
              .y = {.label = "share of scores above", .low = 0, .high = 1.02}};
  for (const Contender* contender : Shown(ranking)) {
    Series curve = Line(contender->name, contender->style, false);
    const auto shares = BootstrapStratified(
        ScoresOf(ranking, *contender),
        [&](const PooledScores& s) { return PerformanceProfile(s, thresholds); }, BootstrapStream(),
        /*resamples=*/500);
    for (size_t i = 0; i < thresholds.size(); ++i)
      curve.places.push_back({thresholds[i], shares[i]});
    panel.series.push_back(std::move(curve));
  }
  const std::string split = FileName(ranking.split);
  AddFigure({.name = "profiles_" + split,
             .section = "evaluation_" + split,
             .title = "Performance profiles",
             .caption = "Share of scores above each value, with 95 % bands.",
             .panels = {std::move(panel)}},
            drawing);
}

// Returns the episode curve of a contender; nullopt when its lifetimes differ in their number of
// episodes, for instance when episodes end early.
std::optional<EpisodeCurve> CurveOf(const std::vector<Group>& groups, const Ranking& ranking,
                                    const Contender& contender) {
  const EvaluationRow& first = *contender.rows[0].row;
  const auto alive = static_cast<size_t>(first.lifetime_episodes),
             episodes = first.episode_success.size();
  const int iterations = contender.rows[0].iterations;
  std::vector<Levels> levels;
  // [lifetimes][episodes, parts, mean of the episodes without noise].
  std::vector<std::vector<double>> numbers;
  std::map<size_t, std::vector<std::vector<double>>> seeds;
  for (size_t i = 0; i < contender.rows.size(); ++i) {
    const Contender::Row& row = contender.rows[i];
    if (row.row->lifetime_episodes != first.lifetime_episodes ||
        row.row->episode_success.size() != episodes)
      return std::nullopt;
    if (!ranking.Has(row.row->environment)) continue;
    std::vector<double> own =
        ranking.quantity == Quantity::kSuccess ? row.row->episode_success : row.row->episode_return;
    const double det =
        episodes > alive
            ? Mean(PooledScores{{own.begin() + static_cast<std::ptrdiff_t>(alive), own.end()}})
            : kNone;
    for (int part = 0; part < iterations; ++part) own.push_back(contender.iterations[i][part]);
    own.push_back(det);
    levels.push_back(LevelsOf(*row.row, row.meta_seed));
    seeds[row.meta_seed].push_back(own);
    numbers.push_back(std::move(own));
  }
  const std::vector<Interval> means = BootstrapMeans(levels, numbers, BootstrapStream());
  const auto end = means.begin() + static_cast<std::ptrdiff_t>(episodes);
  EpisodeCurve curve{.name = contender.name,
                     .style = contender.style,
                     .aliases = {NameOf(contender.method)},
                     .lifetime_episodes = first.lifetime_episodes,
                     .episodes = {means.begin(), end},
                     .segments = {end, end + iterations}};
  if (episodes > alive) curve.det = means.back();
  const auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& candidate) {
    return candidate.name == contender.group || groups.size() == 1;
  });
  if (contender.learned()) curve.aliases = NamesOfLearned(group->runs[0]->data);
  if (seeds.size() < 2 || group == groups.end() || !contender.has_meta_seeds()) return curve;
  for (const auto& [seed, own] : seeds) {
    EpisodeCurve::Single single{.name = "meta-seed " + MetaSeedName(groups, *group->runs[seed])};
    const std::vector<double> of_seed = ColumnMeans(own);
    for (size_t e = 0; e < episodes; ++e)
      single.episodes.push_back({of_seed[e], of_seed[e], of_seed[e]});
    curve.singles.push_back(std::move(single));
  }
  return curve;
}

// Draws the score over the agents' lifetimes.
void DrawEfficiency(const Ranking& ranking, Drawing* drawing) {
  const std::string quantity = QuantityWords(ranking.quantity);
  Panel panel{.x = {.label = "environment steps of the lifetime", .low = 0},
              .y = {.label = "mean " + quantity}};
  for (const Contender* contender : Shown(ranking)) {
    Series curve = Line(contender->name, contender->style, true);
    int iterations = 0;
    for (const auto& means : contender->iterations)
      iterations = std::max(iterations, static_cast<int>(means.size()));
    for (int i = 0; i < iterations; ++i) {
      if (const auto mean = MeanScore(ranking, *contender, i, /*resamples=*/500))
        curve.places.push_back({static_cast<double>(i + 1) * contender->iteration_steps, *mean});
    }
    panel.series.push_back(std::move(curve));
  }
  if (ranking.quantity == Quantity::kSuccess) FitRates(&panel);
  const std::string split = FileName(ranking.split);
  AddFigure({.name = "sample_efficiency_" + split,
             .section = "evaluation_" + split,
             .title = "Sample efficiency of the agents",
             .caption = "Mean after each part of a lifetime, against the environment "
                        "steps of the agent until then. The first place is before any update.",
             .panels = {std::move(panel)}},
            drawing);
}

void DrawImprovement(const Ranking& ranking, Drawing* drawing) {
  Panel panel = Rows("probability that a score of the first is higher than one of the second");
  panel.y.low = 0;
  panel.y.high = 1;
  panel.marks = {{0.5, ""}};
  const auto shown = Shown(ranking);
  for (size_t a = 0; a < shown.size(); ++a) {
    if (!shown[a]->learned()) continue;
    for (size_t b = 0; b < shown.size(); ++b) {
      if (a == b || (shown[b]->learned() && b < a) || !Comparable(*shown[a], *shown[b])) continue;
      const std::string name = shown[a]->name + " > " + shown[b]->name;
      AddRow(name, name, shown[a]->style,
             BootstrapImprovement(ScoresOf(ranking, *shown[a]), ScoresOf(ranking, *shown[b]),
                                  BootstrapStream()),
             &panel);
    }
  }
  if (panel.series.empty()) return;
  const std::string split = FileName(ranking.split);
  const int height = 100 + 44 * static_cast<int>(panel.series.size());
  AddFigure({.name = "probability_of_improvement_" + split,
             .section = "evaluation_" + split,
             .title = "Probability of improvement",
             .caption = "Probability that a score of the first is higher than one of the second; "
                        "0.5 means no difference.",
             .panels = {std::move(panel)},
             .height = height},
            drawing);
}

// Draws final scores against budgets, for methods whose budgets differ.
void DrawScoresByBudget(const std::vector<Group>& groups, const Ranking& ranking,
                        Drawing* drawing) {
  Figure figure{.name = "scores_by_budget_" + FileName(ranking.split),
                .section = "evaluation_" + FileName(ranking.split),
                .title = "Scores against what meta-training cost",
                .caption =
                    "Mean at the end of a lifetime, with 95 % intervals, "
                    "against the mean budget of the method's runs. Higher and further left "
                    "is better.",
                .panels = {},
                .columns = 2};
  const std::string quantity = QuantityWords(ranking.quantity);
  const std::pair<std::string, double Budget::*> budgets[] = {
      {"environment steps of meta-training", &Budget::env_steps},
      {"CPU seconds of meta-training", &Budget::cpu_seconds}};
  for (const auto& [label, member] : budgets) {
    Panel panel{.title = "Against " + label.substr(0, label.find(" of")),
                .x = {.label = label, .low = 0},
                .y = {.label = "mean " + quantity}};
    for (const Contender* contender : Shown(ranking)) {
      if (!contender->learned()) continue;
      std::vector<Budget> own;
      for (const Group& group : groups) {
        if (group.name != contender->group) continue;
        for (const ComparedRun* run : group.runs) own.push_back(BudgetOf(run->data));
      }
      const double cost = MeanOf(own, member);
      if (!std::isfinite(cost)) continue;
      panel.series.push_back({.name = contender->name,
                              .style = contender->style,
                              .kind = Series::Kind::kIntervals,
                              .places = {{cost, *MeanScore(ranking, *contender)}},
                              .intervals = true});
    }
    if (ranking.quantity == Quantity::kSuccess) FitRates(&panel);
    if (member == &Budget::env_steps) ShortenSteps(&panel);
    figure.panels.push_back(std::move(panel));
  }
  AddFigure(std::move(figure), drawing);
}

// --- Meta-training ---

// Returns the metric to compare all runs by: success if any run saw one, else shaped return.
std::string TrainingMetric(const ReportData& data, bool success) {
  if (!success) return "shaped_return";
  const bool by_iteration =
      !data.training.empty() && data.training.front().metrics.contains("success");
  return by_iteration ? "success" : absl::StrFormat("seg%d", data.iterations - 1);
}

// A cost along the x axis of curves of meta-training.
struct Against {
  const char* name;  // Name of the figure.
  const char* title;
  const char* label;  // Label of the axis.
  bool seconds;       // The cost covers only this run, not the run that it continues.
  // Returns the cost of one update; NaN: unknown. `before` is the previous update, or null.
  double (*of)(const TrainingPoint* before, const TrainingPoint& point);
};
constexpr Against kAgainst[] = {
    {"training_by_steps", "Meta-training by environment steps",
     "environment steps of meta-training", /*seconds=*/false,
     [](const TrainingPoint* before, const TrainingPoint& point) {
       return static_cast<double>(point.env_steps) -
              (before == nullptr ? 0 : static_cast<double>(before->env_steps));
     }},
    {"training_by_cpu", "Meta-training by CPU time", "CPU seconds of meta-training",
     /*seconds=*/true,
     [](const TrainingPoint*, const TrainingPoint& point) { return CpuSeconds({point}); }},
    {"training_by_wall", "Meta-training by wall time", "seconds of wall time",
     /*seconds=*/true,
     [](const TrainingPoint*, const TrainingPoint& point) {
       const auto time = point.metrics.find("wall_seconds");
       return time == point.metrics.end() ? kNone : Finite(time->second, kNone);
     }},
};

struct TrainingSeries {
  std::vector<uint32_t> updates;
  std::vector<double> x, values;  // Running means of the values.
};
// Agents that live across updates count only at the end of their lives, if there are several
// generations. Whole lifetimes show the same.
TrainingSeries SeriesOf(const ReportData& data, const std::string& metric, const Against& against,
                        int window) {
  TrainingSeries series;
  const size_t generations = LifeCurves(data.training).size();
  double x = 0;
  const TrainingPoint* before = nullptr;
  for (const TrainingPoint& point : data.training) {
    const auto value = point.metrics.find(metric), iteration = point.metrics.find("iteration");
    x += against.of(before, point);
    before = &point;
    if (generations > 1 && iteration != point.metrics.end() &&
        static_cast<int>(iteration->second) != data.iterations - 1)
      continue;
    series.updates.push_back(point.outer_update);
    series.x.push_back(x);
    series.values.push_back(value == point.metrics.end() ? kNone : value->second);
  }
  series.values = RunningMean(series.values, window);
  return series;
}

// Returns the mean over the meta-seeds at each outer update that all of them made. Several
// meta-seeds give an interval.
Series TrainingCurve(const Group& group, const std::string& metric, const Against& against,
                     int window, size_t place) {
  Series curve = Line(group.name, StyleOf(place), false);
  curve.intervals = group.runs.size() > 1;
  std::map<uint32_t, std::vector<std::pair<double, double>>> by_update;  // (x, value) per run.
  size_t runs = 0;
  for (const ComparedRun* run : group.runs) {
    if (against.seconds && UpdatesBefore(run->data.training) > 0) continue;
    ++runs;
    const TrainingSeries series = SeriesOf(run->data, metric, against, window);
    for (size_t i = 0; i < series.updates.size(); ++i)
      by_update[series.updates[i]].emplace_back(series.x[i], series.values[i]);
  }
  for (const auto& [update, places] : by_update) {
    if (places.size() < runs) continue;
    double x = 0;
    bool finite = true;
    std::vector<double> values;
    for (const auto& [own_x, value] : places) {
      x += own_x / static_cast<double>(runs);
      values.push_back(value);
      finite = finite && std::isfinite(own_x) && std::isfinite(value);
    }
    if (!finite) continue;
    curve.places.push_back({x, BootstrapMeanOfSeeds(values, BootstrapStream(), /*resamples=*/500)});
  }
  return curve;
}

// Returns the window of the shortest run, which all runs use.
int WindowOf(const std::vector<Group>& groups) {
  size_t least = std::numeric_limits<size_t>::max();
  for (const Group& group : groups) {
    for (const ComparedRun* run : group.runs) {
      if (!run->data.training.empty()) least = std::min(least, run->data.training.size());
    }
  }
  return RunningWindow(least);
}
std::string MeanWords(int window) {
  return window == 1 ? "at each outer update"
                     : absl::StrFormat("mean of the last %d outer updates", window);
}

void DrawMetaTraining(const std::vector<Group>& groups, const std::vector<Ranking>& rankings,
                      Drawing* drawing) {
  const bool success = std::any_of(groups.begin(), groups.end(), [](const Group& group) {
    return std::any_of(group.runs.begin(), group.runs.end(),
                       [](const ComparedRun* run) { return SawSuccess(run->data.training); });
  });
  const std::string quantity = QuantityWords(success ? Quantity::kSuccess : Quantity::kReturn);
  const int window = WindowOf(groups);
  const std::string unknown = UnknownCosts(groups);
  for (const Against& against : kAgainst) {
    Panel panel{.x = {.label = against.label, .low = 0}, .y = {.label = quantity}};
    double most = 0;
    for (size_t g = 0; g < groups.size(); ++g) {
      Series curve = TrainingCurve(groups[g], TrainingMetric(groups[g].runs[0]->data, success),
                                   against, window, g);
      if (curve.places.empty()) continue;
      most = std::max(most, curve.places.back().x);
      panel.series.push_back(std::move(curve));
    }
    if (panel.series.empty()) continue;
    // Baselines have no meta-training; draw their evaluation as lines.
    for (const Contender* contender :
         rankings.empty() ? std::vector<const Contender*>() : Shown(rankings[0])) {
      if (contender->learned()) continue;
      if ((rankings[0].quantity == Quantity::kSuccess) != success) continue;
      const double mean = Mean(Pool(ScoresOf(rankings[0], *contender)));
      Series line = Line(contender->name, contender->style, false);
      line.intervals = false;
      line.places = {PlaceAt(0, mean), PlaceAt(most, mean)};
      panel.series.push_back(std::move(line));
    }
    if (success) FitRates(&panel);
    if (&against == &kAgainst[0]) ShortenSteps(&panel);
    AddFigure(
        {.name = against.name,
         .section = "training",
         .title = against.title,
         .caption =
             absl::StrFormat(
                 "Training goals, %s; with several meta-seeds their mean and its 95 %% interval. "
                 "%sBaselines stand at their mean score of the evaluation.",
                 MeanWords(window),
                 success
                     ? "Success at the end of a lifetime; while there is one generation only, so "
                       "far in it. "
                     : "") +
             (against.seconds && !unknown.empty() ? " " + unknown : ""),
         .panels = {std::move(panel)}},
        drawing);
  }
  // For rules that decide inside a lifetime: the first and the last whole generation.
  Panel lives{.x = {.label = "updates that the agent has made", .low = 0, .whole = true},
              .y = {.label = quantity}};
  for (size_t g = 0; g < groups.size(); ++g) {
    for (const bool last : {false, true}) {
      const auto curves = LifeCurves(groups[g].runs[0]->data.training);
      if (curves.empty() || (!last && curves.size() < 2)) continue;
      const LifeCurve& life = last ? curves.back() : curves.front();
      Series curve = Line(absl::StrFormat("%s, generation %d", groups[g].name, life.generation),
                          StyleOf(g), true);
      curve.intervals = false;
      curve.style.dash = last ? 1 : 3;
      for (size_t i = 0; i < life.values.size(); ++i)
        curve.places.push_back(PlaceAt(life.iterations[i], life.values[i]));
      lives.series.push_back(std::move(curve));
    }
  }
  if (success) FitRates(&lives);
  AddFigure({.name = "training_lives",
             .section = "training",
             .title = "Learning curves of agents in meta-training",
             .caption = "First and last agents that lived to the end, of the first meta-seed.",
             .panels = {std::move(lives)}},
            drawing);
}

// Returns the metrics that are declared for comparisons, ordered by name.
std::map<std::string, MetricInfo> ComparedMetrics(const std::vector<Group>& groups) {
  std::map<std::string, MetricInfo> compared;
  for (const Group& group : groups) {
    for (const MetricInfo& metric : group.runs[0]->data.metrics) {
      if (metric.panel == MetricInfo::Panel::kCompared) compared.emplace(metric.name, metric);
    }
  }
  return compared;
}

void DrawMetrics(const std::vector<Group>& groups, Drawing* drawing) {
  const int window = WindowOf(groups);
  for (const auto& [name, metric] : ComparedMetrics(groups)) {
    if (name == "outer_grad_variance" && !EstimateVarianceAlike(groups)) continue;
    Panel panel{.x = {.label = kAgainst[0].label, .low = 0},
                .y = {.label = metric.Axis(), .log = metric.log_scale}};
    for (size_t g = 0; g < groups.size(); ++g)
      panel.series.push_back(TrainingCurve(groups[g], name, kAgainst[0], window, g));
    ShortenSteps(&panel);
    AddFigure({.name = "metric_" + name,
               .section = "cost",
               .title = metric.label.empty() ? name : Capitalised(metric.label),
               .caption = absl::StrFormat("%s %s. Rules differ in scale.", metric.help,
                                          Capitalised(MeanWords(window))),
               .panels = {std::move(panel)}},
              drawing);
  }
}

}  // namespace

std::vector<EpisodeCurves> EpisodesOfStandings(const std::vector<Group>& groups,
                                               const std::vector<Ranking>& rankings) {
  std::vector<EpisodeCurves> all;
  for (const Ranking& ranking : rankings) {
    all.push_back({.split = ranking.split,
                   .has_goals = ranking.has_goals,
                   .section = "evaluation_" + FileName(ranking.split),
                   .quantity = ranking.quantity});
    EpisodeCurves& own = all.back();
    for (const Contender* contender : Shown(ranking)) {
      const std::optional<EpisodeCurve> curve = CurveOf(groups, ranking, *contender);
      if (!curve) {
        own.curves.clear();
        break;
      }
      own.segments = std::max(own.segments, curve->segments.size());
      own.curves.push_back(*curve);
    }
  }
  return all;
}

void DrawComparison(const std::vector<Group>& groups, const std::vector<Ranking>& rankings,
                    const std::vector<EpisodeCurves>& episodes, const Published& published,
                    Drawing* drawing) {
  for (size_t s = 0; s < rankings.size(); ++s) {
    const Ranking& ranking = rankings[s];
    DrawEpisodes(episodes[s], published, drawing);
    DrawScores(ranking, drawing);
    DrawProfiles(ranking, drawing);
    DrawEfficiency(ranking, drawing);
    DrawImprovement(ranking, drawing);
    DrawScoresByBudget(groups, ranking, drawing);
  }
  DrawMetaTraining(groups, rankings, drawing);
  DrawMetrics(groups, drawing);
}

}  // namespace mentor::report
