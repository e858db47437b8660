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

}  // namespace

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
