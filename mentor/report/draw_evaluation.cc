// Success (or shaped return) by method: the tables, and the figure of segments.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_format.h>

#include "common/evaluation_method.h"
#include "mentor/report/csv_table.h"
#include "mentor/report/draw_episodes.h"
#include "mentor/report/figures.h"
#include "mentor/report/words.h"

namespace mentor::report {
namespace {

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

// True if best and final weights gave the same results in every lifetime, for instance because they
// are the same; one line then stands for both.
bool SameLives(const MethodResult& a, const MethodResult& b) {
  return a.keys == b.keys && a.segment_rates == b.segment_rates && a.last.mean == b.last.mean &&
         a.det.value_or(Interval()).mean == b.det.value_or(Interval()).mean;
}

struct ShownMethod {
  std::string name;
  const MethodResult* result;
};
std::vector<ShownMethod> ShownOf(const std::vector<const MethodResult*>& methods) {
  std::vector<ShownMethod> shown;
  for (const MethodResult* result : methods) {
    if (!shown.empty() && result->method == v1::EVALUATION_METHOD_LEARNED_BEST &&
        shown[0].result->method == v1::EVALUATION_METHOD_LEARNED &&
        SameLives(*shown[0].result, *result)) {
      shown[0].name += " (final and best weights)";
      continue;
    }
    shown.push_back({NameOf(result->method), result});
  }
  return shown;
}

// Returns the results over all environments by split, in the order of the results.
std::vector<std::pair<std::string, std::vector<const MethodResult*>>> ResultsBySplit(
    const std::vector<MethodResult>& results) {
  std::vector<std::pair<std::string, std::vector<const MethodResult*>>> splits;
  for (const MethodResult& result : results) {
    if (!result.environment.empty()) continue;
    if (splits.empty() || splits.back().first != result.split) splits.push_back({result.split, {}});
    splits.back().second.push_back(&result);
  }
  return splits;
}

// Draws the parts of the lifetime side by side, with bars of their intervals.
void DrawSegments(const std::string& split, const std::vector<const MethodResult*>& methods,
                  Drawing* drawing) {
  size_t segments = 0;
  bool has_det = false;
  for (const MethodResult* result : methods) {
    segments = std::max(segments, result->segments.size());
    has_det = has_det || result->det;
  }
  Panel panel;
  for (size_t s = 0; s < segments; ++s)
    panel.x.names.push_back(PartName(static_cast<int>(s), segments));
  panel.x.names.push_back(kLastEpisode);
  if (has_det) panel.x.names.push_back(kWithoutNoise);
  const std::string quantity = QuantityWords(methods[0]->quantity);
  panel.x.label = "part of the lifetime";
  panel.x.low = -0.5;
  panel.x.high = static_cast<double>(panel.x.names.size()) - 0.5;
  panel.y.label = quantity;
  const std::vector<ShownMethod> shown = ShownOf(methods);
  for (size_t m = 0; m < shown.size(); ++m) {
    const MethodResult& result = *shown[m].result;
    const double shift =
        0.15 * (static_cast<double>(m) - 0.5 * static_cast<double>(shown.size() - 1));
    Series series{.name = shown[m].name,
                  .style = StyleOf(result.method),
                  .kind = Series::Kind::kIntervals,
                  .intervals = true};
    for (size_t s = 0; s < result.segments.size(); ++s)
      series.places.push_back({static_cast<double>(s) + shift, result.segments[s]});
    series.places.push_back({static_cast<double>(segments) + shift, result.last});
    if (result.det)
      series.places.push_back({static_cast<double>(segments) + 1 + shift, *result.det});
    panel.series.push_back(std::move(series));
  }
  if (methods[0]->quantity == Quantity::kSuccess) FitRates(&panel);
  AddFigure({.name = "evaluation_" + FileName(split),
             .section = "evaluation",
             .title = Capitalised(quantity) + " by part of the lifetime, " +
                      GoalsOf(split, methods[0]->has_goals),
             .caption =
                 "Means with 95 % intervals over goals and lifetimes. Last episode: the lifetime's "
                 "last one. Without noise: deterministic episodes after it.",
             .panels = {std::move(panel)}},
            drawing);
}

}  // namespace

std::vector<EpisodeCurves> EpisodesOfRun(const std::vector<MethodResult>& results,
                                         const ReportData& data) {
  std::vector<EpisodeCurves> all;
  for (const auto& [split, methods] : ResultsBySplit(results)) {
    all.push_back({.split = split,
                   .has_goals = methods[0]->has_goals,
                   .section = "evaluation",
                   .quantity = methods[0]->quantity,
                   .segments = 0});
    EpisodeCurves& own = all.back();
    for (const ShownMethod& shown : ShownOf(methods)) {
      const MethodResult& result = *shown.result;
      EpisodeCurve curve{.name = shown.name,
                         .style = StyleOf(result.method),
                         .aliases = {NameOf(result.method)},
                         .lifetime_episodes = result.lifetime_episodes,
                         .episodes = result.episodes,
                         .segments = result.segments,
                         .det = result.det};
      if (result.method == v1::EVALUATION_METHOD_LEARNED) curve.aliases = NamesOfLearned(data);
      own.segments = std::max(own.segments, result.segments.size());
      own.curves.push_back(std::move(curve));
    }
    // When episodes end early, equal indices are not equal parts of a lifetime.
    if (std::any_of(methods.begin(), methods.end(),
                    [](const MethodResult* result) { return result->lifetime_episodes == 0; }))
      own.curves.clear();
  }
  return all;
}

void DrawEvaluation(const std::vector<EvaluationRow>& rows,
                    const std::vector<MethodResult>& results,
                    const std::vector<Comparison>& comparisons,
                    const std::vector<EpisodeCurves>& episodes, const Published& published,
                    Drawing* drawing) {
  if (results.empty()) return;
  TabulateLifetimes(rows, drawing);
  TabulateResults(results, drawing);
  TabulateComparisons(comparisons, drawing);
  for (const auto& [split, methods] : ResultsBySplit(results)) {
    DrawSegments(split, methods, drawing);
    for (const EpisodeCurves& own : episodes) {
      if (own.split == split) DrawEpisodes(own, published, drawing);
    }
  }
}

}  // namespace mentor::report
