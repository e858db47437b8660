// What the signal network says: the distribution of its output, and how it goes with the shaped
// reward.
#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include <absl/strings/str_format.h>

#include "mentor/report/csv_table.h"
#include "mentor/report/figures.h"

namespace mentor::report {
namespace {

constexpr int kHistogramBins = 40;
constexpr size_t kScatterPoints = 1500;  // More make the page heavy and the picture no clearer.
constexpr size_t kGroups = 10;           // Tenths of the steps by shaped reward.

// Series of the same steps. The first step of an episode has no change.
struct Series {
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
Series Pool(const std::vector<SignalSample>& samples) {
  Series pooled;
  for (const SignalSample& sample : samples) pooled.Add(sample);
  return pooled;
}

// Mean and spread of the signal by the age of the agent.
void DrawAge(const std::vector<SignalSample>& samples, Drawing* drawing) {
  int iterations = 0;
  for (const SignalSample& sample : samples) iterations = std::max(iterations, sample.iterations);
  CsvTable table({"iteration", "mean", "low_tenth", "high_tenth"});
  int rows = 0;
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
    table.Add(CsvTable::Row()
                  .Number(i)
                  .Number(mean)
                  .Number(Quantile(signals, 0.1))
                  .Number(Quantile(signals, 0.9)));
    ++rows;
  }
  if (rows < 2) return;
  drawing->tables.push_back({"signal_age.csv", table.text()});
  drawing->figures.push_back(
      {.name = "signal_age",
       .section = "signal",
       .title = "The signal by the age of the agent",
       .caption = "Mean over all steps of an inner iteration; the band holds the middle 80 % of "
                  "the steps.",
       .csv = "signal_age.csv",
       .commands = absl::StrFormat(
           "set ylabel 'signal'\nset xlabel 'inner iteration of the life'\nunset "
           "key\nset xrange [-0.2:%.1f]\n%s"
           "plot 'signal_age.csv' skip 1 using 1:3:4 with filledcurves fillcolor "
           "rgb '@blue@' notitle, \\\n"
           "  '' skip 1 using 1:2 with linespoints linecolor rgb '@blue@' linewidth "
           "2 pointtype 7 pointsize 0.7 notitle\n",
           iterations - 0.8, iterations <= 12 ? "set xtics 1\n" : ""),
       .height = 320});
}

// Signal and shaped reward of the first and the last episode of one lifetime, step by step.
void DrawEpisode(const SignalSample& sample, Drawing* drawing) {
  const size_t length = static_cast<size_t>(sample.episode_steps);
  if (length < 2 || sample.signal.size() < 2 * length) return;
  const size_t last = (sample.signal.size() / length - 1) * length;
  CsvTable table({"step", "first signal", "first shaped", "last signal", "last shaped"});
  for (size_t t = 0; t < length; ++t) {
    table.Add(CsvTable::Row()
                  .Number(static_cast<double>(t))
                  .Number(sample.signal[t])
                  .Number(sample.shaped[t])
                  .Number(sample.signal[last + t])
                  .Number(sample.shaped[last + t]));
  }
  drawing->tables.push_back({"signal_episode.csv", table.text()});
  std::string commands =
      "set multiplot layout 1,2\nset lmargin 8\nset rmargin 8\nset tmargin 3.5\nset ytics "
      "nomirror\nset y2tics nomirror textcolor rgb '@ink@'\n";
  for (const int part : {0, 1}) {
    commands += absl::StrFormat(
        "set xlabel 'step of the %s episode'\n"
        "plot 'signal_episode.csv' skip 1 using 1:%d with lines linecolor rgb '@blue@' linewidth 2 "
        "title 'signal', \\\n"
        "  '' skip 1 using 1:%d axes x1y2 with lines linecolor rgb '@green@' linewidth 2 dashtype "
        "4 title 'shaped reward (right)'\n",
        part == 0 ? "first" : "last", 2 + 2 * part, 3 + 2 * part);
  }
  drawing->figures.push_back(
      {.name = "signal_episode",
       .section = "signal",
       .title = "The signal along an episode, next to the task's progress",
       .caption = "One agent of the evaluation: its first episode and its last one. The shaped "
                  "reward is the environment's hand-made measure of progress.",
       .csv = "signal_episode.csv",
       .commands = commands + "unset multiplot\n",
       .height = 340});
}

}  // namespace

void DrawMaps(const std::vector<MapSample>& maps, Drawing* drawing) {
  constexpr size_t kShown = 4;
  std::string previous;
  size_t shown = 0;
  int number = 0;
  for (const MapSample& map : maps) {
    if (map.name != previous) shown = 0;
    previous = map.name;
    if (shown++ >= kShown || map.rows < 1 || map.columns < 1) continue;
    CsvTable table({"column", "row", "value"});
    for (int r = 0; r < map.rows; ++r) {
      for (int c = 0; c < map.columns; ++c)
        table.Add(CsvTable::Row().Number(c).Number(r).Number(map.values[r * map.columns + c]));
    }
    const std::string name = absl::StrFormat("map_%d", number++);
    drawing->tables.push_back({name + ".csv", table.text()});
    drawing->figures.push_back(
        {.name = name,
         .section = "signal",
         .title = absl::StrFormat("%s, lifetime %d, inner iteration %d", map.name, map.lifetime,
                                  map.iteration),
         .caption = "Darker is more. Rows are steps that ask, columns steps that are looked at.",
         .csv = name + ".csv",
         .commands = absl::StrFormat(
             "set style fill solid 1 noborder\nset xlabel 'step looked at'\nset ylabel 'step that "
             "asks'\nunset key\nunset grid\n"
             "set palette defined (0 '@page@', 1 '@blue@')\nset cbtics textcolor rgb '@ink@'\n"
             "set xrange [-0.5:%.1f]\nset yrange [%.1f:-0.5]\n"
             "plot '%s.csv' skip 1 using 1:2:3 with image notitle\n",
             map.columns - 0.5, map.rows - 0.5, name),
         .height = 420});
  }
}

std::vector<Correlation> Correlate(const std::vector<SignalSample>& samples) {
  std::vector<Correlation> correlations;
  for (size_t i = 0; i < samples.size(); ++i) {
    correlations.push_back(Pool({samples[i]}).Correlate(absl::StrFormat("%d", i + 1)));
  }
  correlations.push_back(Pool(samples).Correlate("pooled"));
  return correlations;
}

void DrawSignals(const std::vector<SignalSample>& samples, Drawing* drawing) {
  const Series pooled = Pool(samples);
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
  CsvTable histogram({"low", "high", "share"});
  for (const Bin& bin : bins) {
    histogram.Add(CsvTable::Row().Number(bin.low).Number(bin.high).Number(
        static_cast<double>(bin.count) / static_cast<double>(pooled.signal.size())));
  }
  drawing->tables.push_back({"signal_histogram.csv", histogram.text()});
  const double width = bins.size() > 1 ? bins[0].high - bins[0].low : 0.1;
  drawing->figures.push_back(
      {.name = "signal_histogram",
       .section = "signal",
       .title = "Distribution of the signal",
       .caption = absl::StrFormat(
           "Every step of %d lifetimes (%d steps): what the network said, as the agents used it.",
           samples.size(), pooled.signal.size()),
       .csv = "signal_histogram.csv",
       .commands = absl::StrFormat("set ylabel 'share of the steps, %%'\nset xlabel 'signal'\nset "
                                   "yrange [0:*]\nset style fill solid 0.8 noborder\n"
                                   "set boxwidth %.6g\nunset key\n"
                                   "plot 'signal_histogram.csv' skip 1 using (($1+$2)/2):(100*$3) "
                                   "with boxes fillcolor rgb '@blue@' notitle\n",
                                   width * 0.92),
       .height = 320});

  // Every n-th step of all, so that the choice has no randomness.
  const size_t stride = (pooled.signal.size() + kScatterPoints - 1) / kScatterPoints;
  CsvTable scatter({"shaped_reward", "signal"});
  for (size_t i = 0; i < pooled.signal.size(); i += stride) {
    scatter.Add(CsvTable::Row().Number(pooled.shaped[i]).Number(pooled.signal[i]));
  }
  drawing->tables.push_back({"signal_scatter.csv", scatter.text()});

  std::vector<size_t> order(pooled.signal.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return pooled.shaped[a] < pooled.shaped[b]; });
  CsvTable tenths({"shaped_reward", "signal"});
  for (size_t group = 0; group < kGroups; ++group) {
    const size_t begin = group * order.size() / kGroups, end = (group + 1) * order.size() / kGroups;
    if (begin == end) continue;
    double shaped = 0, signal = 0;
    for (size_t i = begin; i < end; ++i) {
      shaped += pooled.shaped[order[i]];
      signal += pooled.signal[order[i]];
    }
    const double count = static_cast<double>(end - begin);
    tenths.Add(CsvTable::Row().Number(shaped / count).Number(signal / count));
  }
  drawing->tables.push_back({"signal_tenths.csv", tenths.text()});
  drawing->figures.push_back(
      {.name = "signal_scatter",
       .section = "signal",
       .title = "Signal against task progress",
       .caption = "Points are single steps; the line joins the means of ten equal groups of steps, "
                  "ordered by shaped "
                  "reward.",
       .csv = "signal_scatter.csv",
       .commands = "set ylabel 'signal'\nset xlabel 'shaped reward of the same step'\n"
                   "plot 'signal_scatter.csv' skip 1 using 1:2 with points linecolor rgb '@sky@' "
                   "pointtype 7 "
                   "pointsize 0.25 title 'step', \\\n"
                   "  'signal_tenths.csv' skip 1 using 1:2 with linespoints linecolor rgb "
                   "'@vermillion@' linewidth 2.5 "
                   "pointtype 7 pointsize 0.8 title 'mean of a tenth of the steps'\n"});
}

}  // namespace mentor::report
