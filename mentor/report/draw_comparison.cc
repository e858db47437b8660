// The figures of a comparison. Long CSV files: a block for each contender, so that each may have
// its own places on the x axis.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/gnuplot.h"
#include "mentor/report/comparison.h"
#include "mentor/report/csv_table.h"
#include "mentor/report/summary.h"

namespace mentor::report {
namespace {

constexpr int kThresholds = 50;

struct Place {
  double x = 0;
  Interval y;
};
struct Curve {
  std::string name;
  Style style;
  std::vector<Place> places;
};

double Finite(double value, double otherwise) {
  return std::isfinite(value) ? value : otherwise;
}

constexpr size_t kShortName = 24;  // Two of these fit side by side.

// A figure of curves with bands.
void DrawCurves(Figure figure, std::vector<Curve> curves, const std::string& commands, bool points,
                Drawing* drawing) {
  std::erase_if(curves, [](const Curve& curve) { return curve.places.empty(); });
  if (curves.empty()) return;
  CsvTable table({"method", "x", "value", "low", "high"});
  bool first = true;
  for (const Curve& curve : curves) {
    // Two gaps begin a new block of gnuplot's.
    if (!first) table.AddGap(), table.AddGap();
    first = false;
    for (const Place& place : curve.places)
      table.Add(CsvTable::Row().Text(curve.name).Number(place.x).Mean(place.y));
  }
  figure.csv = figure.name + ".csv";
  figure.commands = commands + "plot \\\n";
  for (size_t i = 0; i < curves.size(); ++i) {
    figure.commands += absl::StrFormat(
        "  '%s' index %d skip %d using 2:4:5 with filledcurves fillcolor rgb '@%s@' notitle, \\\n",
        figure.csv, i, i == 0 ? 1 : 0, curves[i].style.colour);
  }
  for (size_t i = 0; i < curves.size(); ++i) {
    figure.commands += absl::StrFormat(
        "  '%s' index %d skip %d using 2:3 with %s linecolor rgb '@%s@' linewidth 2 dashtype %d "
        "%stitle %s%s\n",
        figure.csv, i, i == 0 ? 1 : 0, points ? "linespoints" : "lines", curves[i].style.colour,
        curves[i].style.dash,
        points ? absl::StrFormat("pointtype %d pointsize 0.7 ", curves[i].style.point) : "",
        GnuplotString(curves[i].name), i + 1 < curves.size() ? ", \\" : "");
  }
  // One below the other; in columns where names are short.
  size_t rows = std::min<size_t>(4, curves.size());
  for (const Curve& curve : curves) {
    if (curve.name.size() > kShortName) rows = curves.size();
  }
  figure.commands =
      absl::StrFormat("set key above left vertical maxrows %d\n", rows) + figure.commands;
  figure.height += 16 * static_cast<int>(rows);
  drawing->tables.push_back({figure.csv, table.text()});
  drawing->figures.push_back(std::move(figure));
}

// Names on the left, values with intervals in one panel for each of `columns`.
struct Bar {
  std::string name;
  Style style;
  std::vector<Interval> values;
};
void DrawBars(Figure figure, const std::vector<std::string>& columns, const std::vector<Bar>& bars,
              const std::string& commands, Drawing* drawing) {
  std::vector<std::string> header = {"place", "name"};
  size_t widest = 8;
  for (const std::string& column : columns)
    header.insert(header.end(), {column, column + "_low", column + "_high"});
  CsvTable table(header);
  std::string tics;
  for (size_t i = 0; i < bars.size(); ++i) {
    CsvTable::Row row;
    row.Number(-static_cast<double>(i)).Text(bars[i].name);
    for (const Interval& value : bars[i].values) row.Mean(value);
    table.Add(std::move(row));
    tics += absl::StrFormat("%s%s %d", i > 0 ? ", " : "", GnuplotString(bars[i].name),
                            -static_cast<int>(i));
    widest = std::max(widest, bars[i].name.size());
  }
  figure.csv = figure.name + ".csv";
  const double left = std::min(0.65, 0.03 + 0.0112 * static_cast<double>(widest));
  const double width = (0.98 - left) / static_cast<double>(columns.size());
  figure.commands = absl::StrFormat(
      "set multiplot\nunset key\nset grid xtics noytics linecolor rgb '@grid@'\nset yrange "
      "[%.1f:0.6]\nset xtics font ',10'\nset bmargin at screen 0.2\nset tmargin at screen 0.97\n%s",
      0.4 - static_cast<double>(bars.size()), commands);
  for (size_t c = 0; c < columns.size(); ++c) {
    figure.commands += absl::StrFormat(
        "set lmargin at screen %.3f\nset rmargin at screen %.3f\nset xlabel %s\n%s\nplot \\\n",
        left + width * static_cast<double>(c) + (c > 0 ? 0.03 : 0),
        left + width * static_cast<double>(c + 1) - 0.01, GnuplotString(columns[c]),
        c == 0 ? "set ytics (" + tics + ")" : "set ytics ('' 0)");
    for (size_t i = 0; i < bars.size(); ++i) {
      figure.commands += absl::StrFormat(
          "  '%s' skip 1 every ::%d::%d using %d:1:%d:%d with xerrorbars linecolor rgb '@%s@' "
          "linewidth 2 pointtype %d pointsize 1 notitle%s\n",
          figure.csv, i, i, 3 + 3 * c, 4 + 3 * c, 5 + 3 * c, bars[i].style.colour,
          bars[i].style.point, i + 1 < bars.size() ? ", \\" : "");
    }
  }
  figure.commands += "unset multiplot\n";
  figure.height = 90 + 30 * static_cast<int>(bars.size());
  drawing->tables.push_back({figure.csv, table.text()});
  drawing->figures.push_back(std::move(figure));
}

std::string QuantityWords(const Standing& standing) {
  return standing.quantity == Quantity::kSuccess ? "success rate" : "shaped return";
}

// Final weights where there are some: figures with both would be too full.
std::vector<const Contender*> Shown(const Standing& standing) {
  std::vector<const Contender*> shown;
  for (const Contender& contender : standing.contenders) {
    if (!contender.best() && !ScoresOf(standing, contender).empty()) shown.push_back(&contender);
  }
  return shown;
}

void DrawScores(const Standing& standing, Drawing* drawing) {
  std::vector<Bar> bars;
  for (const Contender* contender : Shown(standing)) {
    bars.push_back({contender->name, contender->style,
                    BootstrapStratified(
                        ScoresOf(standing, *contender),
                        [](const PooledScores& s) {
                          return std::vector<double>{InterquartileMean(s), Mean(s)};
                        },
                        BootstrapStream())});
  }
  const std::string split = FileName(standing.split);
  DrawBars({.name = "interquartile_means_" + split,
            .section = "evaluation_" + split,
            .title = "Interquartile mean and mean of the " + QuantityWords(standing),
            .caption = "In the last inner iteration of a life, with 95 % intervals."},
           {"interquartile mean", "mean"}, bars, "", drawing);
}

void DrawProfiles(const Standing& standing, Drawing* drawing) {
  double low = 0, high = 1;
  if (standing.quantity == Quantity::kReturn) {
    low = std::numeric_limits<double>::infinity();
    high = -low;
    for (const Contender* contender : Shown(standing)) {
      for (const auto& stratum : Pool(ScoresOf(standing, *contender))) {
        for (const double score : stratum) low = std::min(low, score), high = std::max(high, score);
      }
    }
    if (!(high > low)) return;
  }
  std::vector<double> thresholds;
  for (int i = 0; i <= kThresholds; ++i) thresholds.push_back(low + (high - low) * i / kThresholds);
  std::vector<Curve> curves;
  for (const Contender* contender : Shown(standing)) {
    Curve& curve = curves.emplace_back(contender->name, contender->style);
    const auto shares = BootstrapStratified(
        ScoresOf(standing, *contender),
        [&](const PooledScores& s) { return PerformanceProfile(s, thresholds); }, BootstrapStream(),
        /*resamples=*/500);
    for (size_t i = 0; i < thresholds.size(); ++i)
      curve.places.push_back({thresholds[i], shares[i]});
  }
  const std::string split = FileName(standing.split);
  DrawCurves({.name = "profiles_" + split,
              .section = "evaluation_" + split,
              .title = "Performance profiles",
              .caption = "Share of scores above each value, with 95 % bands."},
             curves,
             absl::StrFormat("set ylabel 'share of scores above'\nset xlabel '%s'\nset yrange "
                             "[0:1.02]\nset xrange [%.6g:%.6g]\n",
                             QuantityWords(standing), low, high),
             false, drawing);
}

// Along the agents' lives.
void DrawEfficiency(const Standing& standing, Drawing* drawing) {
  std::vector<Curve> curves;
  for (const Contender* contender : Shown(standing)) {
    Curve& curve = curves.emplace_back(contender->name, contender->style);
    int iterations = 0;
    for (const auto& means : contender->iterations)
      iterations = std::max(iterations, static_cast<int>(means.size()));
    for (int i = 0; i < iterations; ++i) {
      const Scores scores = ScoresOf(standing, *contender, i);
      if (scores.empty()) continue;
      const Interval iqm = BootstrapStratified(
          scores, [](const PooledScores& s) { return std::vector<double>{InterquartileMean(s)}; },
          BootstrapStream(), /*resamples=*/500)[0];
      curve.places.push_back({static_cast<double>(i + 1) * contender->iteration_steps, iqm});
    }
  }
  double highest = 0;
  for (const Curve& curve : curves) {
    for (const Place& place : curve.places) highest = std::max(highest, place.y.high);
  }
  const std::string split = FileName(standing.split);
  DrawCurves({.name = "sample_efficiency_" + split,
              .section = "evaluation_" + split,
              .title = "Sample efficiency of the agents",
              .caption = "Interquartile mean at each inner iteration of a life against the "
                         "environment steps that the agent has made by its end. The first place is "
                         "before any learning."},
             curves,
             "set ylabel 'interquartile mean of the " + QuantityWords(standing) +
                 "'\nset xlabel 'environment steps of the life'\nset xrange [0:*]\n" +
                 (standing.quantity == Quantity::kReturn ? ""
                  : highest > 0.4
                      ? "set yrange [0:1]\n"
                      : absl::StrFormat("set yrange [0:%.3g]\n", std::max(0.1, 1.1 * highest))),
             true, drawing);
}

void DrawImprovement(const Standing& standing, Drawing* drawing) {
  std::vector<Bar> bars;
  const auto shown = Shown(standing);
  for (size_t a = 0; a < shown.size(); ++a) {
    if (!shown[a]->learned()) continue;
    for (size_t b = 0; b < shown.size(); ++b) {
      if (a == b || (shown[b]->learned() && b < a) || !Comparable(*shown[a], *shown[b])) continue;
      bars.push_back({shown[a]->name + " > " + shown[b]->name,
                      shown[a]->style,
                      {BootstrapImprovement(ScoresOf(standing, *shown[a]),
                                            ScoresOf(standing, *shown[b]), BootstrapStream())}});
    }
  }
  if (bars.empty()) return;
  const std::string split = FileName(standing.split);
  DrawBars(
      {.name = "probability_of_improvement_" + split,
       .section = "evaluation_" + split,
       .title = "Probability of improvement",
       .caption = "That a score of the first is higher than one of the second; 0.5 means no "
                  "difference."},
      {"P(X > Y)"}, bars,
      "set xrange [0:1]\nset arrow 1 from first 0.5, graph 0 to first 0.5, graph 1 nohead back "
      "linecolor rgb '@muted@' dashtype 3\n",
      drawing);
}

// --- Meta-training ---

// What all runs are compared by: success if any run saw one, else shaped return.
std::string TrainingMetric(const ReportData& data, bool success) {
  if (!success) return "shaped_return";
  const bool by_iteration =
      !data.training.empty() && data.training.front().metrics.contains("success");
  return by_iteration ? "success" : absl::StrFormat("seg%d", data.iterations - 1);
}

struct TrainingSeries {
  std::vector<double> steps, wall, values;  // Running means of the values.
};
// Agents that live on from update to update show what they are at the end of their lives only,
// where there are several generations: that is what whole lifetimes show too.
TrainingSeries SeriesOf(const ReportData& data, const std::string& metric) {
  TrainingSeries series;
  const size_t generations = LifeCurves(data.training).size();
  double wall = 0;
  for (const TrainingPoint& point : data.training) {
    const auto value = point.metrics.find(metric), time = point.metrics.find("wall_seconds"),
               iteration = point.metrics.find("iteration");
    wall += time == point.metrics.end() ? kNone : Finite(time->second, kNone);
    if (generations > 1 && iteration != point.metrics.end() &&
        static_cast<int>(iteration->second) != data.iterations - 1)
      continue;
    series.steps.push_back(static_cast<double>(point.env_steps));
    series.wall.push_back(wall);
    series.values.push_back(value == point.metrics.end() ? kNone : value->second);
  }
  series.values = RunningMean(series.values, kRunningMean);
  return series;
}

// Mean over the meta-seeds at each outer update that all have made, with an interval when there are
// several.
Curve TrainingCurve(const Group& group, const std::string& metric, bool by_wall, size_t place) {
  Curve curve{group.name, StyleOf(place), {}};
  std::vector<TrainingSeries> all;
  size_t updates = std::numeric_limits<size_t>::max();
  for (const ComparedRun* run : group.runs) {
    all.push_back(SeriesOf(run->data, metric));
    updates = std::min(updates, all.back().values.size());
  }
  for (size_t i = 0; i < updates; ++i) {
    double x = 0;
    std::vector<std::vector<double>> values;
    for (const TrainingSeries& series : all) {
      x += (by_wall ? series.wall : series.steps)[i] / static_cast<double>(all.size());
      values.push_back({series.values[i]});
    }
    const bool finite = std::isfinite(x) && std::all_of(values.begin(), values.end(), [](auto& v) {
                          return std::isfinite(v[0]);
                        });
    if (!finite) continue;
    curve.places.push_back({x, BootstrapMeans(values, BootstrapStream(), /*resamples=*/500)[0]});
  }
  return curve;
}

void DrawMetaTraining(const std::vector<Group>& groups, const std::vector<Standing>& standings,
                      Drawing* drawing) {
  const bool success = std::any_of(groups.begin(), groups.end(), [](const Group& group) {
    return std::any_of(group.runs.begin(), group.runs.end(),
                       [](const ComparedRun* run) { return SawSuccess(run->data.training); });
  });
  for (const bool by_wall : {false, true}) {
    std::vector<Curve> curves;
    double most = 0;
    for (size_t g = 0; g < groups.size(); ++g) {
      Curve curve =
          TrainingCurve(groups[g], TrainingMetric(groups[g].runs[0]->data, success), by_wall, g);
      if (curve.places.empty()) continue;
      most = std::max(most, curve.places.back().x);
      curves.push_back(std::move(curve));
    }
    if (curves.empty()) return;
    // Baselines do not meta-train: lines at their evaluation.
    for (const Contender* contender :
         standings.empty() ? std::vector<const Contender*>() : Shown(standings[0])) {
      if (contender->learned()) continue;
      const bool comparable = (standings[0].quantity == Quantity::kSuccess) == success;
      if (!comparable) continue;
      const double mean = Mean(Pool(ScoresOf(standings[0], *contender)));
      curves.push_back({contender->name,
                        contender->style,
                        {{0, {mean, mean, mean}}, {most, {mean, mean, mean}}}});
    }
    DrawCurves(
        {.name = by_wall ? "training_by_wall" : "training_by_steps",
         .section = "training",
         .title = by_wall ? "Meta-training by wall time" : "Meta-training by environment steps",
         .caption = absl::StrFormat(
             "Training goals, mean of the last %d outer updates; with several meta-seeds their "
             "mean "
             "and its 95 %% interval. %sBaselines stand at their mean score of the evaluation.",
             kRunningMean,
             success ? "Success in the last inner iteration of a life; of agents that live only "
                       "once, in the current one. "
                     : "")},
        curves,
        absl::StrFormat("set ylabel '%s'\nset xlabel '%s'\nset xrange [0:*]\nset rmargin 5\n%s",
                        success ? "success rate" : "shaped return of an episode",
                        by_wall ? "seconds of wall time" : "environment steps of meta-training",
                        success ? "set yrange [0:1]\n" : ""),
        false, drawing);
  }
  // The last whole generation of rules that decide inside a lifetime, by inner iteration.
  std::vector<Curve> lives;
  for (size_t g = 0; g < groups.size(); ++g) {
    for (const bool last : {false, true}) {
      const auto curves = LifeCurves(groups[g].runs[0]->data.training);
      if (curves.empty() || (!last && curves.size() < 2)) continue;
      const LifeCurve& life = last ? curves.back() : curves.front();
      Curve curve{
          absl::StrFormat("%s, generation %d", groups[g].name, life.generation), StyleOf(g), {}};
      curve.style.dash = last ? 1 : 3;
      for (size_t i = 0; i < life.values.size(); ++i) {
        const double value = life.values[i];
        curve.places.push_back({static_cast<double>(life.iterations[i]), {value, value, value}});
      }
      lives.push_back(std::move(curve));
    }
  }
  if (lives.empty()) return;
  DrawCurves({.name = "training_lives",
              .section = "training",
              .title = "Learning curves of agents in meta-training",
              .caption = "First and last agents that lived to the end, of the first meta-seed."},
             lives,
             absl::StrFormat("set ylabel '%s'\nset xlabel 'inner iteration of the life'\n%s",
                             success ? "success rate" : "shaped return of an episode",
                             success ? "set yrange [0:1]\n" : ""),
             true, drawing);
}

// Metrics whose declarations say that runs are compared by them, in the order of their names.
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
  for (const auto& [name, metric] : ComparedMetrics(groups)) {
    std::vector<Curve> curves;
    for (size_t g = 0; g < groups.size(); ++g) {
      Curve curve = TrainingCurve(groups[g], name, false, g);
      if (metric.log_scale) {
        std::erase_if(curve.places, [](const Place& place) { return place.y.mean <= 0; });
        for (Place& place : curve.places) place.y.low = std::max(place.y.low, 1e-300);
      }
      if (!curve.places.empty()) curves.push_back(std::move(curve));
    }
    if (curves.empty()) continue;
    std::string title = metric.label.empty() ? name : metric.label;
    title[0] = absl::ascii_toupper(title[0]);
    DrawCurves({.name = "metric_" + name,
                .section = "cost",
                .title = title,
                .caption = absl::StrFormat("%s Mean of the last %d outer updates. Rules differ in "
                                           "scale.",
                                           metric.help, kRunningMean)},
               curves,
               absl::StrFormat("set ylabel %s\nset xlabel 'environment steps of meta-training'\n"
                               "%sset xrange [0:*]\n",
                               GnuplotString(metric.Axis()),
                               metric.log_scale ? "set logscale y\nset format y '%.0e'\n" : ""),
               false, drawing);
  }
}

}  // namespace

void DrawComparison(const std::vector<Group>& groups, const std::vector<Standing>& standings,
                    Drawing* drawing) {
  for (const Standing& standing : standings) {
    DrawScores(standing, drawing);
    DrawProfiles(standing, drawing);
    DrawEfficiency(standing, drawing);
    DrawImprovement(standing, drawing);
  }
  DrawMetaTraining(groups, standings, drawing);
  DrawMetrics(groups, drawing);
}

}  // namespace mentor::report
