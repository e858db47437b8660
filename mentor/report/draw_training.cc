// Meta-training: success of each segment against outer updates and environment steps, shaped
// return, and the metrics of the outer rule.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>

#include "mentor/report/figures.h"
#include "mentor/report/training_table.h"
#include "mentor/report/words.h"

namespace mentor::report {
namespace {

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

// Returns the numbers of the existing metrics seg0, seg1, ...
std::vector<int> SegmentNumbers(const std::vector<TrainingPoint>& training) {
  std::set<int> numbers;
  for (const TrainingPoint& point : training) {
    for (const auto& [name, value] : point.metrics) {
      int number = 0;
      if (!name.starts_with("seg") || !absl::SimpleAtoi(name.substr(3), &number) || number < 0)
        continue;
      if (std::isfinite(value)) numbers.insert(number);
    }
  }
  return {numbers.begin(), numbers.end()};
}

// Returns at most five numbers: the first, the last and some between.
std::vector<int> Thinned(const std::vector<int>& numbers) {
  constexpr size_t kMost = 5;
  if (numbers.size() <= kMost) return numbers;
  std::vector<int> thinned;
  for (size_t i = 0; i < kMost; ++i)
    thinned.push_back(numbers[i * (numbers.size() - 1) / (kMost - 1)]);
  return thinned;
}

// Colours run from "nothing learned yet" to "all learned"; the last is always blue.
std::string SegmentColour(size_t place, size_t count) {
  const char* colours[] = {"blue", "sky", "purple", "orange", "grey"};
  if (count == 2 && place == 0) return "grey";
  if (count >= 3 && place == 0) return "grey";
  return colours[std::min<size_t>(count - 1 - place, 4)];
}

void TabulateTraining(const std::vector<TrainingPoint>& training, Drawing* drawing) {
  const MetricSet names = MetricNames(training);
  drawing->tables.push_back(
      {"training.csv", TrainingHeader(names) + TrainingRows(training, names)});
}

// Adds points for the updates, and a line for their running mean.
void AddCurve(const std::vector<double>& x, const std::vector<double>& y, const std::string& name,
              const std::string& colour, Panel* panel) {
  const int window = RunningWindow(y.size());
  const std::vector<double> means = RunningMean(y, window);
  Series line{.name = name, .style = {colour}, .kind = Series::Kind::kLine};
  Series points{
      .name = name, .style = {colour}, .kind = Series::Kind::kPoints, .single = "single updates"};
  for (size_t i = 0; i < x.size(); ++i) {
    line.places.push_back(PlaceAt(x[i], means[i]));
    points.places.push_back(PlaceAt(x[i], y[i]));
  }
  if (window == 1) {
    line.kind = Series::Kind::kLineAndPoints;
    panel->series.push_back(std::move(line));
    return;
  }
  panel->series.push_back(std::move(line));
  panel->series.push_back(std::move(points));
}

std::string UpdateWords(const std::vector<TrainingPoint>& training) {
  return "Points are single outer updates, " + RunningWords(RunningWindow(training.size())) + ".";
}

std::vector<double> UpdatesOf(const std::vector<TrainingPoint>& training) {
  std::vector<double> updates;
  for (const TrainingPoint& point : training) updates.push_back(point.outer_update);
  return updates;
}

// Adds room around a single point.
Axis UpdateAxis(const std::vector<TrainingPoint>& training) {
  return {.label = "outer updates",
          .low = 0,
          .high = static_cast<double>(training.back().outer_update) + (training.size() < 2 ? 1 : 0),
          .whole = true};
}

struct Steps {
  Axis axis;
  std::vector<double> x;
};
Steps StepsAxis(const std::vector<TrainingPoint>& training) {
  const StepUnit unit = StepUnitOf(static_cast<double>(training.back().env_steps));
  Steps steps;
  steps.axis = {.label = unit.prefix + "environment steps of meta-training", .low = 0};
  for (const TrainingPoint& point : training)
    steps.x.push_back(static_cast<double>(point.env_steps) / unit.steps);
  return steps;
}

// Draws learning curves of agents by inner iteration, for the first, some and the last generations.
void DrawLives(const std::vector<TrainingPoint>& training, Drawing* drawing) {
  const std::vector<LifeCurve> lives = LifeCurves(training);
  if (lives.empty()) return;
  constexpr size_t kMost = 4;
  std::vector<const LifeCurve*> shown;
  for (size_t i = 0; i < std::min(kMost, lives.size()); ++i) {
    const size_t place = lives.size() <= kMost ? i : i * (lives.size() - 1) / (kMost - 1);
    shown.push_back(&lives[place]);
  }
  Panel panel{
      .x = {.label = "updates that the agent has made", .low = 0, .whole = true},
      .y = {.label = QuantityWords(lives[0].success ? Quantity::kSuccess : Quantity::kReturn)}};
  const char* colours[] = {"grey", "sky", "purple", "blue"};
  for (size_t i = 0; i < shown.size(); ++i) {
    Series series{.name = absl::StrFormat("generation %d", shown[i]->generation),
                  .style = {i + 1 == shown.size() ? "blue" : colours[i]},
                  .kind = Series::Kind::kLineAndPoints};
    for (size_t k = 0; k < shown[i]->values.size(); ++k)
      series.places.push_back(PlaceAt(shown[i]->iterations[k], shown[i]->values[k]));
    panel.series.push_back(std::move(series));
  }
  if (lives[0].success) panel.y.low = 0, panel.y.high = 1;
  AddFigure(
      {.name = "training_lives",
       .section = "training",
       .title = "Meta-training: learning curves of agents",
       .caption = "Success of agents of one generation along their lives, during meta-learning of "
                  "the signal. The signal of generation 0 was untrained at first.",
       .panels = {std::move(panel)},
       .height = 340},
      drawing);
}

using Where = MetricInfo::Panel;

// Returns the run's metrics of the panels, in the order of their declarations. Metrics without a
// declaration, for instance from other builds, count as small and come last.
std::vector<MetricInfo> MetricsOf(const ReportData& data, const std::set<Where>& panels) {
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

// True if a logarithmic axis is wanted and can show every value.
bool IsLog(const MetricInfo& metric, const std::vector<double>& values) {
  return metric.log_scale && std::none_of(values.begin(), values.end(), [](double value) {
           return std::isfinite(value) && value <= 0;
         });
}

// Returns a figure with a panel per metric.
Figure MetricPanels(const ReportData& data, const std::vector<MetricInfo>& metrics) {
  const std::vector<double> updates = UpdatesOf(data.training);
  Figure figure{
      .name = {}, .section = "training", .title = {}, .caption = {}, .panels = {}, .columns = 2};
  for (const MetricInfo& metric : metrics) {
    const std::vector<double> values = SeriesOf(data.training, metric.name);
    Panel panel{.title = metric.label.empty() ? metric.name : Capitalised(metric.label),
                .x = UpdateAxis(data.training),
                .y = {.label = metric.Axis(), .log = IsLog(metric, values)}};
    AddCurve(updates, values, metric.name, "blue", &panel);
    figure.panels.push_back(std::move(panel));
  }
  figure.height = 260 * static_cast<int>((metrics.size() + 1) / 2);
  return figure;
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

  const std::vector<int> segments = Thinned(SegmentNumbers(training));
  const std::vector<double> updates = UpdatesOf(training);
  const Steps steps = StepsAxis(training);
  if (!segments.empty()) {
    Panel by_update{.x = UpdateAxis(training), .y = {.label = "success rate"}};
    Panel by_steps{.x = steps.axis, .y = {.label = "success rate"}};
    // Draw later segments above earlier ones, and name them first.
    for (size_t i = segments.size(); i-- > 0;) {
      const auto values = SeriesOf(training, absl::StrFormat("seg%d", segments[i]));
      const std::string name = PartName(segments[i], static_cast<size_t>(data.iterations)),
                        colour = SegmentColour(i, segments.size());
      AddCurve(updates, values, name, colour, &by_update);
      AddCurve(steps.x, values, name, colour, &by_steps);
    }
    FitRates(&by_update);
    FitRates(&by_steps);
    AddFigure({.name = "training_by_update",
               .section = "training",
               .title = "Meta-training: success by outer update",
               .caption = "Success of agents on the goals of meta-training, with sampled signals" +
                          std::string(data.iterations > 1
                                          ? ": before they learn, and after their updates. "
                                          : ". ") +
                          UpdateWords(training) +
                          (data.seg0_is_control
                               ? " Before learning nothing can change: the signal acts from the "
                                 "agent's first update on."
                               : ""),
               .panels = {std::move(by_update)}},
              drawing);
    AddFigure({.name = "training_by_steps",
               .section = "training",
               .title = "Meta-training: success by environment steps",
               .caption = "The same curve against the interactions with the environment.",
               .panels = {std::move(by_steps)}},
              drawing);
  }
  if (Has(training, "success")) {
    Panel panel{.x = steps.axis, .y = {.label = "success rate", .low = 0, .high = 1}};
    AddCurve(steps.x, SeriesOf(training, "success"), "success", "blue", &panel);
    AddFigure({.name = "training_by_steps",
               .section = "training",
               .title = "Meta-training: success by environment steps",
               .caption = "Each outer update is one inner iteration of agents that live on. The "
                          "curve falls whenever new agents begin after a lifetime. " +
                          UpdateWords(training),
               .panels = {std::move(panel)}},
              drawing);
  }
  DrawLives(training, drawing);
  if (Has(training, "shaped_return")) {
    Panel panel{.x = UpdateAxis(training), .y = {.label = "shaped return of an episode"}};
    AddCurve(updates, SeriesOf(training, "shaped_return"), "shaped return", "green", &panel);
    AddFigure({.name = "training_return",
               .section = "training",
               .title = "Meta-training: shaped return",
               .caption = "Sum of the environment's hand-made progress reward over an episode, "
                          "mean over all episodes of an outer update. " +
                          UpdateWords(training),
               .panels = {std::move(panel)},
               .height = 320},
              drawing);
  }
  Figure rule = MetricPanels(data, MetricsOf(data, {Where::kOwn, Where::kCompared}));
  rule.name = "training_rule";
  rule.title = "The outer rule";
  rule.caption = "The rule's own numbers at each outer update. " + UpdateWords(training);
  AddFigure(std::move(rule), drawing);
  // All other metrics of a rule and its agents, for instance the policy's response to the signal's
  // parameters.
  constexpr size_t kMost = 16;
  std::vector<MetricInfo> small = MetricsOf(data, {Where::kSmall});
  const size_t left_out = small.size() - std::min(small.size(), kMost);
  small.resize(small.size() - left_out);
  Figure statistics = MetricPanels(data, small);
  statistics.name = "training_statistics";
  statistics.title = "Other numbers of the rule and its agents";
  statistics.caption =
      "By outer update, as the rule reports them. " + UpdateWords(training) +
      (left_out > 0 ? absl::StrFormat(" %d more are in training.csv.", left_out) : "");
  AddFigure(std::move(statistics), drawing);
}

}  // namespace mentor::report
