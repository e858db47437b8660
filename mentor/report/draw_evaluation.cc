// Success (or shaped return) by method: the table, each segment, each episode.
#include <algorithm>
#include <string>
#include <vector>

#include <absl/strings/str_format.h>

#include "common/evaluation_method.h"
#include "common/gnuplot.h"
#include "mentor/report/csv_table.h"
#include "mentor/report/figures.h"

namespace mentor::report {
namespace {

std::string GoalsOf(const std::string& split) {
  if (split == "test") return "goals never seen in meta-training";
  if (split == "train") return "goals of meta-training";
  return split;
}

void TabulateLifetimes(const std::vector<EvaluationRow>& rows, Drawing* drawing) {
  size_t episodes = 0;
  for (const EvaluationRow& row : rows) episodes = std::max(episodes, row.episode_success.size());
  std::vector<std::string> header = {"split", "environment", "method",           "lifetime",
                                     "goal",  "seed",        "lifetime_episodes"};
  for (size_t e = 1; e <= episodes; ++e) header.push_back(absl::StrFormat("success_%d", e));
  for (size_t e = 1; e <= episodes; ++e) header.push_back(absl::StrFormat("return_%d", e));
  CsvTable table(header);
  for (const EvaluationRow& row : rows) {
    CsvTable::Row cells;
    cells.Text(row.split).Text(row.environment).Text(NameOf(row.method));
    cells.Number(row.lifetime).Number(row.goal).Text(absl::StrFormat("%d", row.seed));
    cells.Number(row.lifetime_episodes);
    for (const auto* values : {&row.episode_success, &row.episode_return}) {
      for (const double value : *values) cells.Number(value);
      cells.Empty(static_cast<int>(episodes - values->size()));
    }
    table.Add(std::move(cells));
  }
  drawing->tables.push_back({"evaluation_lifetimes.csv", table.text()});
}

void TabulateResults(const std::vector<MethodResult>& results, Drawing* drawing) {
  CsvTable table(
      {"split", "environment", "method", "lifetimes", "goals", "quantity", "mean", "low", "high"});
  for (const MethodResult& result : results) {
    const auto add = [&](const std::string& quantity, const Interval& interval) {
      table.Add(CsvTable::Row()
                    .Text(result.split)
                    .Text(result.environment)
                    .Text(NameOf(result.method))
                    .Number(result.lifetimes)
                    .Number(result.goals)
                    .Text(quantity)
                    .Mean(interval));
    };
    for (size_t s = 0; s < result.segments.size(); ++s)
      add(absl::StrFormat("seg%d", s), result.segments[s]);
    add("last", result.last);
    if (result.det) add("det", *result.det);
    if (result.last_return) add("return", *result.last_return);
  }
  drawing->tables.push_back({"evaluation.csv", table.text()});
}

void TabulateComparisons(const std::vector<Comparison>& comparisons, Drawing* drawing) {
  CsvTable table(
      {"split", "method", "baseline", "quantity", "paired", "difference", "low", "high"});
  for (const Comparison& comparison : comparisons) {
    table.Add(CsvTable::Row()
                  .Text(comparison.split)
                  .Text(NameOf(comparison.method))
                  .Text(NameOf(comparison.baseline))
                  .Text(absl::StrFormat("seg%d", comparison.segment))
                  .Text(comparison.paired ? "yes" : "no")
                  .Mean(comparison.difference));
  }
  drawing->tables.push_back({"comparisons.csv", table.text()});
}

std::vector<std::string> MethodHeader(std::vector<std::string> header,
                                      const std::vector<const MethodResult*>& methods) {
  for (const MethodResult* result : methods) {
    header.insert(header.end(), {NameOf(result->method), NameOf(result->method) + " low",
                                 NameOf(result->method) + " high"});
  }
  return header;
}

// For the axis and, with a capital, for titles.
std::string QuantityWords(const std::vector<const MethodResult*>& methods, bool capital) {
  if (methods[0]->quantity == Quantity::kReturn)
    return capital ? "Shaped return" : "shaped return of an episode";
  return capital ? "Success rate" : "success rate";
}

double Highest(const std::vector<const MethodResult*>& methods) {
  double highest = 0;
  for (const MethodResult* result : methods) {
    for (const Interval& interval : result->segments) highest = std::max(highest, interval.high);
    for (const Interval& interval : result->episodes) highest = std::max(highest, interval.high);
  }
  return highest;
}

// The whole range when rates are high; otherwise as much as there is to see. Returns have no
// bounds.
std::string ValueRange(const std::vector<const MethodResult*>& methods) {
  if (methods[0]->quantity == Quantity::kReturn) return "";
  const double highest = Highest(methods);
  if (highest > 0.4) return "set yrange [0:1]\n";
  return absl::StrFormat("set yrange [0:%.3g]\n", std::max(0.1, 1.1 * highest));
}

// seg0, seg1, ..., last, det side by side, with error bars.
void DrawSegments(const std::string& split, const std::vector<const MethodResult*>& methods,
                  Drawing* drawing) {
  struct Quantity {
    std::string name;
    const Interval* (*of)(const MethodResult&, size_t);
    size_t index;
  };
  size_t segments = 0;
  bool has_det = false;
  for (const MethodResult* result : methods) {
    segments = std::max(segments, result->segments.size());
    has_det = has_det || result->det;
  }
  std::vector<Quantity> quantities;
  for (size_t s = 0; s < segments; ++s) {
    quantities.push_back({absl::StrFormat("seg%d", s),
                          [](const MethodResult& result, size_t index) {
                            return index < result.segments.size() ? &result.segments[index]
                                                                  : nullptr;
                          },
                          s});
  }
  quantities.push_back(
      {"last", [](const MethodResult& result, size_t) -> const Interval* { return &result.last; },
       0});
  if (has_det) {
    quantities.push_back(
        {"det",
         [](const MethodResult& result, size_t) { return result.det ? &*result.det : nullptr; },
         0});
  }

  CsvTable table(MethodHeader({"place", "quantity"}, methods));
  for (size_t q = 0; q < quantities.size(); ++q) {
    CsvTable::Row row;
    row.Number(static_cast<double>(q)).Text(quantities[q].name);
    for (const MethodResult* result : methods) {
      const Interval* interval = quantities[q].of(*result, quantities[q].index);
      if (interval != nullptr)
        row.Mean(*interval);
      else
        row.Empty(3);
    }
    table.Add(std::move(row));
  }

  Figure figure;
  figure.name = "evaluation_" + FileName(split);
  figure.section = "evaluation";
  figure.title = QuantityWords(methods, true) + " by part of the lifetime, " + GoalsOf(split);
  figure.caption =
      "Means over lifetimes with 95 % intervals. seg0: before any learning; seg1, seg2, ...: after "
      "one, two, "
      "... inner updates; last: last episode of the lifetime; det: afterwards, with deterministic "
      "actions.";
  figure.csv = figure.name + ".csv";
  std::string commands = "set ylabel '" + QuantityWords(methods, false) +
                         "'\nset xlabel 'part of the lifetime'\nset xrange [-0.5:" +
                         absl::StrFormat("%.1f", static_cast<double>(quantities.size()) - 0.5) +
                         "]\n" + ValueRange(methods) + "set xtics (";
  for (size_t q = 0; q < quantities.size(); ++q) {
    commands += absl::StrFormat("%s'%s' %d", q > 0 ? ", " : "", quantities[q].name, q);
  }
  commands += ")\nplot \\\n";
  for (size_t m = 0; m < methods.size(); ++m) {
    const Style style = StyleOf(methods[m]->method);
    const double shift =
        0.15 * (static_cast<double>(m) - 0.5 * static_cast<double>(methods.size() - 1));
    const size_t column = 3 + 3 * m;
    commands += absl::StrFormat(
        "  '%s' skip 1 using ($1%+.3f):%d:%d:%d with yerrorbars linecolor rgb '@%s@' pointtype %d "
        "pointsize 1 "
        "linewidth 2 title %s%s\n",
        figure.csv, shift, column, column + 1, column + 2, style.colour, style.point,
        GnuplotString(NameOf(methods[m]->method)), m + 1 < methods.size() ? ", \\" : "");
  }
  figure.commands = commands;
  drawing->tables.push_back({figure.csv, table.text()});
  drawing->figures.push_back(std::move(figure));
}

// Success of every episode in order, with bands; borders of segments are the inner updates.
void DrawEpisodes(const std::string& split, const std::vector<const MethodResult*>& methods,
                  Drawing* drawing) {
  size_t alive = 0, segments = 0, det = 0;
  for (const MethodResult* result : methods) {
    alive = std::max(alive, static_cast<size_t>(result->lifetime_episodes));
    segments = std::max(segments, result->segments.size());
    det = std::max(det, result->episodes.size() - static_cast<size_t>(result->lifetime_episodes));
  }
  CsvTable table(MethodHeader({"episode", "deterministic"}, methods));
  for (size_t e = 0; e < alive + det; ++e) {
    const bool is_det = e >= alive;
    if (e == alive) table.AddGap();
    CsvTable::Row row;
    row.Number(static_cast<double>(e + 1)).Number(is_det ? 1 : 0);
    for (const MethodResult* result : methods) {
      // A method with a shorter lifetime has a gap before its deterministic episodes.
      const size_t own_alive = static_cast<size_t>(result->lifetime_episodes);
      const size_t index = is_det ? own_alive + (e - alive) : e;
      if ((is_det || e < own_alive) && index < result->episodes.size())
        row.Mean(result->episodes[index]);
      else
        row.Empty(3);
    }
    table.Add(std::move(row));
  }

  Figure figure;
  figure.name = "episodes_" + FileName(split);
  figure.section = "evaluation";
  figure.title = QuantityWords(methods, true) + " by episode of the lifetime, " + GoalsOf(split);
  figure.caption =
      "Bands are 95 % intervals over lifetimes. Vertical lines are the inner updates, the only "
      "places where "
      "an agent learns.";
  if (det > 0) figure.caption += " The episodes set apart on the right use deterministic actions.";
  figure.csv = figure.name + ".csv";
  const double end = static_cast<double>(alive + det) + (det > 0 ? 1 : 0);
  std::string commands = absl::StrFormat(
      "set ylabel '%s'\nset xlabel 'episode of the lifetime'\nset xrange [0.5:%.1f]\n%s",
      QuantityWords(methods, false), end + 0.5, ValueRange(methods));
  // Deterministic episodes are set apart, so their places have no numbers.
  commands += absl::StrFormat("set xtics %d, %d, %d\n", alive > 15 ? 5 : 1,
                              alive > 60   ? 10
                              : alive > 15 ? 5
                                           : 1,
                              alive);
  for (size_t s = 1; s < segments; ++s) {
    const size_t first = s * alive / segments;
    commands += absl::StrFormat(
        "set arrow %d from first %.1f, graph 0 to first %.1f, graph 1 nohead back linecolor rgb "
        "'@muted@' dashtype 3\n",
        s, static_cast<double>(first) + 0.5, static_cast<double>(first) + 0.5);
    if (segments <= 6) {
      commands += absl::StrFormat(
          "set label %d 'update %d' at first %.1f, graph 0.96 offset 0.5,0 font ',10' textcolor "
          "rgb '@muted@'\n",
          s, s, static_cast<double>(first) + 0.5);
    }
  }
  if (det > 0) {
    commands += absl::StrFormat(
        "set label 99 'deterministic' at first %.1f, graph 0.96 right font ',10' textcolor rgb "
        "'@muted@'\n"
        "set arrow 99 from first %.1f, graph 0 to first %.1f, graph 1 nohead back linecolor rgb "
        "'@muted@'\n",
        end + 0.4, static_cast<double>(alive) + 1.0, static_cast<double>(alive) + 1.0);
  }
  commands += "plot \\\n";
  for (size_t m = 0; m < methods.size(); ++m) {
    const size_t column = 3 + 3 * m;
    commands += absl::StrFormat(
        "  '%s' skip 1 using ($1+$2):%d:%d with filledcurves fillcolor rgb '@%s@' notitle, \\\n",
        figure.csv, column + 1, column + 2, StyleOf(methods[m]->method).colour);
  }
  for (size_t m = 0; m < methods.size(); ++m) {
    const Style style = StyleOf(methods[m]->method);
    commands += absl::StrFormat(
        "  '%s' skip 1 using ($1+$2):%d with linespoints linecolor rgb '@%s@' linewidth 2 dashtype "
        "%d pointtype %d "
        "pointsize 0.7 title %s%s\n",
        figure.csv, 3 + 3 * m, style.colour, style.dash, style.point,
        GnuplotString(NameOf(methods[m]->method)), m + 1 < methods.size() ? ", \\" : "");
  }
  figure.commands = commands;
  drawing->tables.push_back({figure.csv, table.text()});
  drawing->figures.push_back(std::move(figure));
}

}  // namespace

void DrawEvaluation(const std::vector<EvaluationRow>& rows,
                    const std::vector<MethodResult>& results,
                    const std::vector<Comparison>& comparisons, Drawing* drawing) {
  if (results.empty()) return;
  TabulateLifetimes(rows, drawing);
  TabulateResults(results, drawing);
  TabulateComparisons(comparisons, drawing);
  std::vector<std::string> splits;  // In the order of the results.
  for (const MethodResult& result : results) {
    if (std::find(splits.begin(), splits.end(), result.split) == splits.end())
      splits.push_back(result.split);
  }
  for (const std::string& split : splits) {
    std::vector<const MethodResult*> methods;
    for (const MethodResult& result : results) {
      if (result.split == split && result.environment.empty()) methods.push_back(&result);
    }
    if (methods.empty()) continue;
    DrawSegments(split, methods, drawing);
    // Where episodes end early, equal numbers are not equal parts of a lifetime.
    const bool equally_many =
        std::all_of(methods.begin(), methods.end(),
                    [](const MethodResult* result) { return result->lifetime_episodes > 0; });
    if (equally_many) DrawEpisodes(split, methods, drawing);
  }
}

}  // namespace mentor::report
