// The output of the signal network: its distribution, and its relation to the shaped reward.
#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include <absl/strings/str_format.h>

#include "mentor/report/csv_table.h"
#include "mentor/report/figures.h"
#include "mentor/report/words.h"

namespace mentor::report {
namespace {

constexpr int kHistogramBins = 40;
// More points make the page heavy without adding information.
constexpr size_t kScatterPoints = 1500;
constexpr size_t kGroups = 10;  // Tenths of the steps by shaped reward.

// Values of the same steps. The first step of an episode has no change.
struct PooledSteps {
  std::vector<double> signal, shaped;
  std::vector<double> signal_of_change, change;

  void Add(const SignalSample& sample) {
    signal.insert(signal.end(), sample.signal.begin(), sample.signal.end());
    shaped.insert(shaped.end(), sample.shaped.begin(), sample.shaped.end());
    for (size_t t = 1; sample.episode_steps > 0 && t < sample.signal.size(); ++t) {
      if (t % static_cast<size_t>(sample.episode_steps) == 0) continue;
      signal_of_change.push_back(sample.signal[t]);
      change.push_back(sample.shaped[t] - sample.shaped[t - 1]);
    }
  }
  Correlation Correlate(std::string lifetime) const {
    return {std::move(lifetime),
            signal.size(),
            Pearson(signal, shaped),
            Spearman(signal, shaped),
            Pearson(signal_of_change, change),
            Spearman(signal_of_change, change)};
  }
};
PooledSteps PoolSignals(const std::vector<SignalSample>& samples) {
  PooledSteps pooled;
  for (const SignalSample& sample : samples) pooled.Add(sample);
  return pooled;
}

// Draws mean and spread of the signal by the age of the agent.
void DrawAge(const std::vector<SignalSample>& samples, Drawing* drawing) {
  int iterations = 0;
  for (const SignalSample& sample : samples) iterations = std::max(iterations, sample.iterations);
  Series series{
      .name = "signal", .style = {"blue"}, .kind = Series::Kind::kLineAndPoints, .intervals = true};
  for (int i = 0; i < iterations; ++i) {
    std::vector<double> signals;
    for (const SignalSample& sample : samples) {
      if (i >= sample.iterations) continue;
      const size_t size = sample.signal.size(), parts = static_cast<size_t>(sample.iterations);
      signals.insert(signals.end(), sample.signal.begin() + i * size / parts,
                     sample.signal.begin() + (i + 1) * size / parts);
    }
    if (signals.empty()) continue;
    const double mean =
        std::accumulate(signals.begin(), signals.end(), 0.0) / static_cast<double>(signals.size());
    std::sort(signals.begin(), signals.end());
    series.places.push_back(
        {static_cast<double>(i), {mean, Quantile(signals, 0.1), Quantile(signals, 0.9)}});
  }
  if (series.places.size() < 2) return;
  Panel panel{.x = {.label = "updates that the agent has made",
                    .low = -0.2,
                    .high = iterations - 0.8,
                    .whole = true},
              .y = {.label = "signal"},
              .series = {std::move(series)}};
  AddFigure(
      {.name = "signal_age",
       .section = "signal",
       .title = "The signal by the age of the agent",
       .caption = "Mean over all steps between two updates; the band holds the middle 80 % of "
                  "the steps.",
       .panels = {std::move(panel)},
       .height = 320},
      drawing);
}

// Draws signal and shaped reward of the first and the last episode of one lifetime, step by step.
void DrawEpisode(const SignalSample& sample, Drawing* drawing) {
  const size_t length = static_cast<size_t>(sample.episode_steps);
  if (length < 2 || sample.signal.size() < 2 * length) return;
  const size_t last = (sample.signal.size() / length - 1) * length;
  Figure figure{.name = "signal_episode",
                .section = "signal",
                .title = "The signal along an episode, beside the task's progress",
                .caption =
                    "One agent of the evaluation: its first episode and its last one. The "
                    "shaped reward is the environment's hand-made measure of progress.",
                .panels = {},
                .columns = 2,
                .height = 340};
  for (const size_t begin : {size_t{0}, last}) {
    Series signal{.name = "signal (left axis)", .style = {"blue", 7, 1}};
    Series shaped{.name = "shaped reward (right axis)", .style = {"green", 11, 4}, .right = true};
    for (size_t t = 0; t < length; ++t) {
      signal.places.push_back(PlaceAt(static_cast<double>(t), sample.signal[begin + t]));
      shaped.places.push_back(PlaceAt(static_cast<double>(t), sample.shaped[begin + t]));
    }
    figure.panels.push_back({.title = begin == 0 ? "First episode" : "Last episode",
                             .x = {.label = "step of the episode", .whole = true},
                             .y = {.label = "signal"},
                             .right = {.label = "shaped reward"},
                             .series = {std::move(signal), std::move(shaped)}});
  }
  AddFigure(std::move(figure), drawing);
}

}  // namespace

void DrawMaps(const std::vector<MapSample>& maps, int iterations, Drawing* drawing) {
  constexpr size_t kShown = 4;
  std::string previous;
  size_t shown = 0;
  int number = 0;
  for (const MapSample& map : maps) {
    if (map.name != previous) shown = 0;
    previous = map.name;
    if (shown++ >= kShown || map.rows < 1 || map.columns < 1) continue;
    Panel panel{
        .x = {.label = "step looked at", .low = -0.5, .high = map.columns - 0.5, .whole = true},
        .y = {.label = "step that asks", .low = -0.5, .high = map.rows - 0.5, .whole = true},
        .image = {map.rows, map.columns, map.values}};
    AddFigure({.name = absl::StrFormat("map_%d", number++),
               .section = "signal",
               .title = absl::StrFormat(
                   "%s, lifetime %d, %s", map.name, map.lifetime,
                   PartName(static_cast<int>(map.iteration), static_cast<size_t>(iterations))),
               .caption = "A stronger colour is a greater value. Rows are steps that ask, columns "
                          "steps that are looked at.",
               .panels = {std::move(panel)},
               .height = 420},
              drawing);
  }
}

std::vector<Correlation> Correlate(const std::vector<SignalSample>& samples) {
  std::vector<Correlation> correlations;
  for (size_t i = 0; i < samples.size(); ++i) {
    correlations.push_back(PoolSignals({samples[i]}).Correlate(absl::StrFormat("%d", i + 1)));
  }
  correlations.push_back(PoolSignals(samples).Correlate("pooled"));
  return correlations;
}

void DrawSignals(const std::vector<SignalSample>& samples, Drawing* drawing) {
  const PooledSteps pooled = PoolSignals(samples);
  if (pooled.signal.empty()) return;

  CsvTable steps({"lifetime", "step", "signal", "shaped_reward"});
  for (size_t i = 0; i < samples.size(); ++i) {
    for (size_t t = 0; t < samples[i].signal.size(); ++t) {
      steps.Add(CsvTable::Row()
                    .Number(static_cast<double>(i + 1))
                    .Number(static_cast<double>(t))
                    .Number(samples[i].signal[t])
                    .Number(samples[i].shaped[t]));
    }
  }
  drawing->tables.push_back({"signals.csv", steps.text()});

  CsvTable correlations(
      {"lifetime", "steps", "pearson", "spearman", "pearson_change", "spearman_change"});
  for (const Correlation& correlation : Correlate(samples)) {
    correlations.Add(CsvTable::Row()
                         .Text(correlation.lifetime)
                         .Number(static_cast<double>(correlation.steps))
                         .Number(correlation.pearson)
                         .Number(correlation.spearman)
                         .Number(correlation.change_pearson)
                         .Number(correlation.change_spearman));
  }
  drawing->tables.push_back({"signal_correlation.csv", correlations.text()});

  DrawEpisode(samples[0], drawing);
  DrawAge(samples, drawing);
  const std::vector<Bin> bins = Histogram(pooled.signal, kHistogramBins);
  Series shares{.name = "steps", .style = {"blue"}, .kind = Series::Kind::kBars};
  for (const Bin& bin : bins) {
    shares.places.push_back(
        PlaceAt((bin.low + bin.high) / 2,
                100 * static_cast<double>(bin.count) / static_cast<double>(pooled.signal.size())));
  }
  Panel histogram{.x = {.label = "signal"},
                  .y = {.label = "share of the steps, %", .low = 0},
                  .series = {std::move(shares)}};
  AddFigure({.name = "signal_histogram",
             .section = "signal",
             .title = "Distribution of the signal",
             .caption = absl::StrFormat(
                 "Every step of %s (%s): the network's output, as the agents used it.",
                 Several(samples.size(), "lifetime"), Several(pooled.signal.size(), "step")),
             .panels = {std::move(histogram)},
             .height = 320},
            drawing);

  // Take every n-th step, so that the choice is deterministic.
  const size_t stride = (pooled.signal.size() + kScatterPoints - 1) / kScatterPoints;
  Series points{.name = "single steps", .style = {"sky"}, .kind = Series::Kind::kPoints};
  for (size_t i = 0; i < pooled.signal.size(); i += stride)
    points.places.push_back(PlaceAt(pooled.shaped[i], pooled.signal[i]));

  std::vector<size_t> order(pooled.signal.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return pooled.shaped[a] < pooled.shaped[b]; });
  Series tenths{.name = "mean of a tenth of the steps",
                .style = {"vermillion"},
                .kind = Series::Kind::kLineAndPoints};
  for (size_t group = 0; group < kGroups; ++group) {
    const size_t begin = group * order.size() / kGroups, end = (group + 1) * order.size() / kGroups;
    if (begin == end) continue;
    double shaped = 0, signal = 0;
    for (size_t i = begin; i < end; ++i) {
      shaped += pooled.shaped[order[i]];
      signal += pooled.signal[order[i]];
    }
    const double count = static_cast<double>(end - begin);
    tenths.places.push_back(PlaceAt(shaped / count, signal / count));
  }
  Panel scatter{.x = {.label = "shaped reward of the same step"},
                .y = {.label = "signal"},
                .series = {std::move(tenths), std::move(points)}};
  AddFigure({.name = "signal_scatter",
             .section = "signal",
             .title = "The signal against the task's progress",
             .caption = "The line joins the means of ten equal groups of steps, ordered by shaped "
                        "reward.",
             .panels = {std::move(scatter)}},
            drawing);
}

}  // namespace mentor::report
