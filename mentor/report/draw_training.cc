// Meta-training: success of each segment against outer updates and environment steps, shaped
// return, the outer rule's own numbers.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>

#include "common/gnuplot.h"
#include "mentor/report/csv_table.h"
#include "mentor/report/figures.h"

namespace mentor::report {
namespace {

constexpr char kCurveFile[] = "training_curve.csv";

std::vector<double> SeriesOf(const std::vector<TrainingPoint>& training,
                             const std::string& metric) {
  std::vector<double> series;
  for (const TrainingPoint& point : training) {
    const auto found = point.metrics.find(metric);
    series.push_back(found == point.metrics.end() ? kNone : found->second);
  }
  return series;
}

bool Has(const std::vector<TrainingPoint>& training, const std::string& metric) {
  return std::any_of(training.begin(), training.end(), [&](const TrainingPoint& point) {
    const auto found = point.metrics.find(metric);
    return found != point.metrics.end() && std::isfinite(found->second);
  });
}

// seg0, seg1, ... in the order of their numbers.
std::vector<std::string> SegmentMetrics(const std::vector<TrainingPoint>& training) {
  std::set<int> numbers;
  for (const TrainingPoint& point : training) {
    for (const auto& [name, value] : point.metrics) {
      int number = 0;
      if (!name.starts_with("seg") || !absl::SimpleAtoi(name.substr(3), &number) || number < 0)
        continue;
      if (std::isfinite(value)) numbers.insert(number);
    }
  }
  std::vector<std::string> metrics;
  for (const int number : numbers) metrics.push_back(absl::StrFormat("seg%d", number));
  return metrics;
}

// At most five lines fit: the first, the last and some between.
std::vector<std::string> Thinned(const std::vector<std::string>& metrics) {
  constexpr size_t kMost = 5;
  if (metrics.size() <= kMost) return metrics;
  std::vector<std::string> thinned;
  for (size_t i = 0; i < kMost; ++i)
    thinned.push_back(metrics[i * (metrics.size() - 1) / (kMost - 1)]);
  return thinned;
}

// From "nothing learned yet" to "all learned"; the last one is always blue.
std::string SegmentColour(size_t place, size_t count) {
  const char* colours[] = {"blue", "sky", "purple", "orange", "grey"};
  if (count == 2 && place == 0) return "grey";
  if (count >= 3 && place == 0) return "grey";
  return colours[std::min<size_t>(count - 1 - place, 4)];
}

void TabulateTraining(const std::vector<TrainingPoint>& training, Drawing* drawing) {
  std::set<std::string> names;
  for (const TrainingPoint& point : training) {
    for (const auto& [name, value] : point.metrics) names.insert(name);
  }
  std::vector<std::string> header = {"outer_update", "env_steps"};
  header.insert(header.end(), names.begin(), names.end());
  for (std::string& name : header) name = CsvField(name);
  CsvTable table(header);
  for (const TrainingPoint& point : training) {
    CsvTable::Row row;
    row.Number(point.outer_update).Number(static_cast<double>(point.env_steps));
    for (const std::string& name : names) {
      const auto found = point.metrics.find(name);
      if (found == point.metrics.end())
        row.Empty(1);
      else
        row.Number(found->second);
    }
    table.Add(std::move(row));
  }
  drawing->tables.push_back({"training.csv", table.text()});
}

// Columns of kCurveFile: update, steps, then for metric i its value (3 + 2 i) and running mean (4 +
// 2 i).
void TabulateCurve(const std::vector<TrainingPoint>& training,
                   const std::vector<std::string>& metrics, Drawing* drawing) {
  std::vector<std::string> header = {"outer_update", "env_steps"};
  std::vector<std::vector<double>> columns;
  for (const std::string& metric : metrics) {
    header.push_back(metric);
    header.push_back(absl::StrFormat("%s_mean%d", metric, kRunningMean));
    columns.push_back(SeriesOf(training, metric));
    columns.push_back(RunningMean(columns.back(), kRunningMean));
  }
  CsvTable table(header);
  for (size_t i = 0; i < training.size(); ++i) {
    CsvTable::Row row;
    row.Number(training[i].outer_update).Number(static_cast<double>(training[i].env_steps));
    for (const auto& column : columns) row.Number(column[i]);
    table.Add(std::move(row));
  }
  drawing->tables.push_back({kCurveFile, table.text()});
}

struct Line {
  std::string title;
  std::string colour;
  size_t column = 0;  // Where the value stands; the running mean is the next one.
};

// Points for each update, faint when they are many, and a line for the running mean.
std::string PlotLines(const std::string& x, const std::vector<Line>& lines, size_t updates) {
  std::string commands = "plot \\\n";
  for (size_t i = 0; i < lines.size(); ++i) {
    commands += absl::StrFormat(
        "  '%s' skip 1 using %s:%d with points linecolor rgb '@%s@' pointtype 7 pointsize %.1f "
        "notitle, \\\n"
        "  '' skip 1 using %s:%d with lines linecolor rgb '@%s@' linewidth 2.5 title '%s'%s\n",
        kCurveFile, x, lines[i].column, lines[i].colour, updates < 20 ? 0.7 : 0.3, x,
        lines[i].column + 1, lines[i].colour, lines[i].title, i + 1 < lines.size() ? ", \\" : "");
  }
  return commands;
}

struct StepUnit {
  std::string label;
  std::string expression;  // gnuplot's x.
};
StepUnit UnitOf(uint64_t most_steps) {
  if (most_steps >= 2'000'000) return {"million environment steps of meta-training", "($2/1e6)"};
  if (most_steps >= 2'000) return {"thousand environment steps of meta-training", "($2/1e3)"};
  return {"environment steps of meta-training", "2"};
}

// A lone point needs room around it; few updates are counted one by one.
std::string UpdateRange(const std::vector<TrainingPoint>& training) {
  const uint32_t last = training.back().outer_update;
  return absl::StrFormat("set xrange [0:%d]\n%s", last + (training.size() < 2 ? 1 : 0),
                         last <= 10 ? "set xtics 1\n" : "");
}

// Learning curves of agents by inner iteration, of the first, some and the last generations.
void DrawLives(const std::vector<TrainingPoint>& training, Drawing* drawing) {
  const std::vector<LifeCurve> lives = LifeCurves(training);
  if (lives.empty()) return;
  constexpr size_t kMost = 4;
  std::vector<const LifeCurve*> shown;
  for (size_t i = 0; i < std::min(kMost, lives.size()); ++i) {
    const size_t place = lives.size() <= kMost ? i : i * (lives.size() - 1) / (kMost - 1);
    shown.push_back(&lives[place]);
  }
  CsvTable table({"generation", "iteration", "value"});
  for (const LifeCurve& life : lives) {
    for (size_t i = 0; i < life.values.size(); ++i) {
      table.Add(CsvTable::Row()
                    .Number(life.generation)
                    .Number(life.iterations[i])
                    .Number(life.values[i]));
    }
  }
  drawing->tables.push_back({"training_lives.csv", table.text()});
  std::string commands = std::string("set ylabel '") +
                         (lives[0].success ? "success rate" : "shaped return of an episode") +
                         "'\nset xlabel 'inner iteration of a life'\n" +
                         (lives[0].success ? "set yrange [0:1]\n" : "") + "plot \\\n";
  const char* colours[] = {"grey", "sky", "purple", "blue"};
  for (size_t i = 0; i < shown.size(); ++i) {
    const char* colour = i + 1 == shown.size() ? "blue" : colours[i];
    commands += absl::StrFormat(
        "  'training_lives.csv' skip 1 using ($1==%d?$2:1/0):3 with linespoints linecolor rgb "
        "'@%s@' linewidth 2 pointtype 7 pointsize 0.5 title 'generation %d'%s\n",
        shown[i]->generation, colour, shown[i]->generation, i + 1 < shown.size() ? ", \\" : "");
  }
  drawing->figures.push_back(
      {.name = "training_lives",
       .section = "training",
       .title = "Meta-training: learning curves of agents",
       .caption = "How well agents of one generation do along their lives, while the signal is "
                  "meta-learned. Generation 0 had an untrained signal at first.",
       .csv = "training_lives.csv",
       .commands = commands,
       .height = 340});
}

using Panel = MetricInfo::Panel;

// Metrics of a panel that the run has, in the order of their declarations. Those that nobody
// declares, as of other builds, are small ones and come last.
std::vector<MetricInfo> MetricsOf(const ReportData& data, const std::set<Panel>& panels) {
  std::set<std::string> reported;
  for (const TrainingPoint& point : data.training) {
    for (const auto& [name, value] : point.metrics) {
      if (std::isfinite(value)) reported.insert(name);
    }
  }
  std::vector<std::pair<size_t, MetricInfo>> found;
  for (const std::string& name : reported) {
    const MetricInfo* declared = FindMetric(data.metrics, name);
    MetricInfo info = declared == nullptr ? MetricInfo() : *declared;
    if (!panels.contains(info.panel)) continue;
    info.name = name;
    found.emplace_back(declared == nullptr ? data.metrics.size() : declared - data.metrics.data(),
                       std::move(info));
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<MetricInfo> metrics;
  for (auto& [place, info] : found) metrics.push_back(std::move(info));
  return metrics;
}

// A logarithmic axis where it is wanted and every value has a place on it.
std::string ScaleOf(const MetricInfo& metric, const std::vector<TrainingPoint>& training) {
  const std::vector<double> values = SeriesOf(training, metric.name);
  const bool log = metric.log_scale && std::none_of(values.begin(), values.end(), [](double value) {
                     return std::isfinite(value) && value <= 0;
                   });
  return log ? "set logscale y\nset format y '%.0e'\n" : "unset logscale y\nset format y '% h'\n";
}

// Whatever else a rule and its agents say of themselves, for instance how a policy responds to the
// signal's parameters.
void DrawStatistics(const ReportData& data, Drawing* drawing) {
  constexpr size_t kMost = 15, kColumns = 3;
  const std::vector<TrainingPoint>& training = data.training;
  std::vector<MetricInfo> shown = MetricsOf(data, {Panel::kSmall});
  if (shown.size() > kMost) shown.resize(kMost);
  if (shown.empty()) return;
  std::vector<std::string> header = {"outer_update"};
  std::vector<std::vector<double>> columns;
  for (const MetricInfo& metric : shown) {
    header.push_back(CsvField(metric.name));
    columns.push_back(SeriesOf(training, metric.name));
  }
  CsvTable table(header);
  for (size_t i = 0; i < training.size(); ++i) {
    CsvTable::Row row;
    row.Number(training[i].outer_update);
    for (const auto& column : columns) row.Number(column[i]);
    table.Add(std::move(row));
  }
  drawing->tables.push_back({"training_statistics.csv", table.text()});
  const size_t rows = (shown.size() + kColumns - 1) / kColumns;
  std::string commands = absl::StrFormat("set multiplot layout %d,%d\nset lmargin 9\nunset key\n%s",
                                         rows, kColumns, UpdateRange(training));
  for (size_t i = 0; i < shown.size(); ++i) {
    commands += absl::StrFormat(
        "set title %s\n%splot 'training_statistics.csv' skip 1 using 1:%d with lines linecolor rgb "
        "'@blue@' linewidth 1.5 notitle\n",
        GnuplotString(shown[i].Axis()), ScaleOf(shown[i], training), i + 2);
  }
  drawing->figures.push_back(
      {.name = "training_statistics",
       .section = "training",
       .title = "Other numbers of the rule and its agents",
       .caption = "By outer update, as the rule reports them; all are in training.csv.",
       .csv = "training_statistics.csv",
       .commands = commands + "unset multiplot\n",
       .height = 210 * static_cast<int>(rows)});
}

}  // namespace

std::vector<LifeCurve> LifeCurves(const std::vector<TrainingPoint>& training) {
  bool success = false;
  for (const TrainingPoint& point : training) {
    const auto found = point.metrics.find("success");
    success = success || (found != point.metrics.end() && found->second > 0);
  }
  std::vector<LifeCurve> lives;
  size_t longest = 0;
  for (const TrainingPoint& point : training) {
    const auto generation = point.metrics.find("generation"),
               iteration = point.metrics.find("iteration"),
               value = point.metrics.find(success ? "success" : "shaped_return");
    if (generation == point.metrics.end() || iteration == point.metrics.end() ||
        value == point.metrics.end() || !std::isfinite(value->second))
      continue;
    const int number = static_cast<int>(generation->second);
    if (lives.empty() || lives.back().generation != number)
      lives.push_back({.generation = number, .success = success});
    lives.back().iterations.push_back(static_cast<int>(iteration->second));
    lives.back().values.push_back(value->second);
    longest = std::max(longest, lives.back().values.size());
  }
  std::erase_if(lives, [&](const LifeCurve& life) { return life.values.size() < longest; });
  return lives;
}

void DrawTraining(const ReportData& data, Drawing* drawing) {
  const std::vector<TrainingPoint>& training = data.training;
  if (training.empty()) return;
  TabulateTraining(training, drawing);

  const std::vector<std::string> segments = Thinned(SegmentMetrics(training));
  std::vector<std::string> metrics = segments;
  const std::vector<MetricInfo> panels = MetricsOf(data, {Panel::kOwn, Panel::kCompared});
  const bool by_iteration = Has(training, "success");
  if (by_iteration) metrics.push_back("success");
  if (Has(training, "shaped_return")) metrics.push_back("shaped_return");
  for (const MetricInfo& panel : panels) metrics.push_back(panel.name);
  if (metrics.empty()) return DrawStatistics(data, drawing);
  TabulateCurve(training, metrics, drawing);
  const auto column_of = [&](const std::string& metric) {
    return 3 + 2 * static_cast<size_t>(std::find(metrics.begin(), metrics.end(), metric) -
                                       metrics.begin());
  };

  if (!segments.empty()) {
    std::vector<Line> lines;
    double highest = 0;
    for (size_t i = 0; i < segments.size(); ++i) {
      lines.push_back({segments[i], SegmentColour(i, segments.size()), column_of(segments[i])});
      for (const double rate : SeriesOf(training, segments[i])) {
        if (std::isfinite(rate)) highest = std::max(highest, rate);
      }
    }
    const std::string range =
        highest > 0.4 ? "set yrange [0:1]\n"
                      : absl::StrFormat("set yrange [0:%.3g]\n", std::max(0.1, 1.1 * highest));
    const std::string caption = absl::StrFormat(
        "Goals of meta-training, sampled signals. Points are single outer updates, lines the mean "
        "of the last %d. seg0 "
        "cannot change: the signal acts from the first inner update on.",
        kRunningMean);
    drawing->figures.push_back(
        {.name = "training_by_update",
         .section = "training",
         .title = "Meta-training: success by outer update",
         .caption = caption,
         .csv = kCurveFile,
         .commands = "set ylabel 'success rate'\nset xlabel 'outer updates'\n" + range +
                     UpdateRange(training) + PlotLines("1", lines, training.size())});
    const StepUnit unit = UnitOf(training.back().env_steps);
    drawing->figures.push_back({.name = "training_by_steps",
                                .section = "training",
                                .title = "Meta-training: success by environment steps",
                                .caption = "The same curve against the interactions that it took.",
                                .csv = kCurveFile,
                                .commands = "set ylabel 'success rate'\nset xlabel '" + unit.label +
                                            "'\n" + range + "set xrange [0:*]\n" +
                                            PlotLines(unit.expression, lines, training.size())});
  }
  if (by_iteration) {
    const StepUnit unit = UnitOf(training.back().env_steps);
    drawing->figures.push_back(
        {.name = "training_by_steps",
         .section = "training",
         .title = "Meta-training: success by environment steps",
         .caption = absl::StrFormat("Each outer update is one inner iteration of agents that live "
                                    "on; after a lifetime new "
                                    "agents begin, and the curve falls. Points are single outer "
                                    "updates, the line the mean "
                                    "of the last %d.",
                                    kRunningMean),
         .csv = kCurveFile,
         .commands = "set ylabel 'success rate'\nset xlabel '" + unit.label +
                     "'\nset yrange [0:1]\nset xrange [0:*]\n" +
                     PlotLines(unit.expression, {{"success", "blue", column_of("success")}},
                               training.size())});
  }
  DrawLives(training, drawing);
  if (Has(training, "shaped_return")) {
    drawing->figures.push_back(
        {.name = "training_return",
         .section = "training",
         .title = "Meta-training: shaped return",
         .caption = "Sum of the environment's hand-made progress reward over an episode, mean over "
                    "all episodes of an outer "
                    "update.",
         .csv = kCurveFile,
         .commands = "set ylabel 'shaped return of an episode'\nset xlabel 'outer updates'\nset "
                     "lmargin 11\n" +
                     UpdateRange(training) +
                     PlotLines("1", {{"mean shaped return", "green", column_of("shaped_return")}},
                               training.size()),
         .height = 320});
  }
  if (!panels.empty()) {
    std::string commands = absl::StrFormat(
        "set multiplot layout %d,2\nset lmargin 11\nunset key\nset xlabel 'outer updates'\n%s",
        (panels.size() + 1) / 2, UpdateRange(training));
    for (const MetricInfo& panel : panels) {
      commands += absl::StrFormat("set ylabel %s\n", GnuplotString(panel.Axis())) +
                  ScaleOf(panel, training) +
                  PlotLines("1", {{panel.name, "blue", column_of(panel.name)}}, training.size());
    }
    commands += "unset multiplot\n";
    drawing->figures.push_back(
        {.name = "training_rule",
         .section = "training",
         .title = "The outer rule",
         .caption = absl::StrFormat("The rule's own numbers at each outer update; lines are the "
                                    "mean of the last %d.",
                                    kRunningMean),
         .csv = kCurveFile,
         .commands = commands,
         .height = 260 * static_cast<int>((panels.size() + 1) / 2)});
  }
  DrawStatistics(data, drawing);
}

}  // namespace mentor::report
