#include "mentor/ctl/plot_script.h"

#include <cmath>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/gnuplot.h"
#include "mentor/ctl/values.h"

namespace mentor::ctl {
namespace {

void AddData(const v1::MetricSeries& series, int number, std::string* script) {
  absl::StrAppendFormat(script, "$data%d << END_OF_DATA\n", number);
  for (int i = 0; i < series.steps_size() && i < series.mean_size(); ++i) {
    const double mean = series.mean(i);
    if (!std::isfinite(mean)) continue;
    const double least = i < series.min_size() ? series.min(i) : mean;
    const double greatest = i < series.max_size() ? series.max(i) : mean;
    absl::StrAppend(script, series.steps(i), " ", Number(mean), " ", Number(least), " ",
                    Number(greatest), "\n");
  }
  absl::StrAppend(script, "END_OF_DATA\n");
}

bool IsMerged(const v1::MetricSeries& series) {
  for (const uint32_t count : series.count()) {
    if (count > 1) return true;
  }
  return false;
}

}  // namespace

std::string PlotScript(const v1::QueryMetricsResponse& metrics, std::string_view title,
                       const Terminal& terminal, std::string_view picture) {
  const int plots = std::max(metrics.series_size(), 1);
  const bool text = terminal.kind == Terminal::Kind::kText;
  std::string script;
  switch (terminal.kind) {
    case Terminal::Kind::kText:
      absl::StrAppendFormat(&script, "set terminal dumb size %d,%d\n", terminal.width,
                            terminal.height);
      break;
    case Terminal::Kind::kSvg:
      absl::StrAppendFormat(&script,
                            "set terminal svg noenhanced size %d,%d font 'DejaVu Sans,12'\n",
                            terminal.width, terminal.height * plots);
      break;
    case Terminal::Kind::kPng:
      absl::StrAppendFormat(&script,
                            "set terminal pngcairo noenhanced size %d,%d font 'DejaVu Sans,10'\n",
                            terminal.width, terminal.height * plots);
      break;
  }
  absl::StrAppend(&script, "set output ", GnuplotString(picture),
                  "\nset encoding utf8\nset termoption noenhanced\nset xlabel 'outer update'\n"
                  "set key off\n");
  if (!text) absl::StrAppend(&script, "set grid\n");
  for (int i = 0; i < metrics.series_size(); ++i) AddData(metrics.series(i), i, &script);
  // As text, plots follow each other; multiplot does not know that terminal.
  if (!text) absl::StrAppendFormat(&script, "set multiplot layout %d,1\n", plots);
  for (int i = 0; i < metrics.series_size(); ++i) {
    const v1::MetricSeries& series = metrics.series(i);
    absl::StrAppend(&script, "set title ",
                    GnuplotString(std::string(title) + ": " + series.metric()), "\n");
    // One point, or a constant, has no range of its own.
    const std::string style =
        series.steps_size() == 1 ? "with points pt 7" : (text ? "with lines" : "with lines lw 2");
    std::string band;
    if (!text && IsMerged(series)) {
      band = absl::StrFormat(
          "$data%d using 1:3:4 with filledcurves fc rgb '#9ecae1' fs transparent solid 0.4, ", i);
    }
    absl::StrAppendFormat(&script, "plot %s$data%d using 1:2 %s lc rgb '#08519c'\n", band, i,
                          style);
  }
  if (!text) absl::StrAppend(&script, "unset multiplot\n");
  absl::StrAppend(&script, "unset output\n");
  return script;
}

}  // namespace mentor::ctl
