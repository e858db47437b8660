#include "mentor/ctl/plot_script.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "mentor/ctl/values.h"
#include "mentor/report/gnuplot.h"

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

// Returns the color of member k of a family: the first is light, the last is dark.
std::string Shade(size_t k, size_t size) {
  constexpr int kLight[] = {0x9e, 0xca, 0xe1}, kDark[] = {0x08, 0x45, 0x94};
  const double share = size > 1 ? static_cast<double>(k) / static_cast<double>(size - 1) : 1;
  std::string color = "#";
  for (int i = 0; i < 3; ++i) {
    absl::StrAppendFormat(&color, "%02x",
                          static_cast<int>(kLight[i] + share * (kDark[i] - kLight[i])));
  }
  return color;
}

// Returns the command "plot $data0 using ..., $data1 using ..." that overlays the members.
std::string PlotCommand(const v1::QueryMetricsResponse& metrics, const std::vector<int>& members,
                        bool text) {
  std::vector<std::string> parts;
  for (size_t k = 0; k < members.size(); ++k) {
    const v1::MetricSeries& series = metrics.series(members[k]);
    const bool alone = members.size() == 1;
    if (!text && alone && IsMerged(series)) {
      parts.push_back(absl::StrFormat(
          "$data%d using 1:3:4 with filledcurves fc rgb '#9ecae1' fs transparent solid 0.4 notitle",
          members[k]));
    }
    // A single point or a constant has no range of its own.
    const std::string style =
        series.steps_size() == 1 ? "with points pt 7" : (text ? "with lines" : "with lines lw 2");
    parts.push_back(absl::StrFormat("$data%d using 1:2 %s%s title %s", members[k], style,
                                    text ? "" : " lc rgb '" + Shade(k, members.size()) + "'",
                                    GnuplotString(series.metric())));
  }
  return "plot " + absl::StrJoin(parts, ", ") + "\n";
}

}  // namespace

std::string FamilyOf(std::string_view metric) {
  const std::string_view head = metric.substr(0, metric.find('/'));
  size_t digits = head.size();
  while (digits > 0 && absl::ascii_isdigit(head[digits - 1])) --digits;
  if (digits == 0 || digits == head.size()) return std::string(metric);
  return absl::StrCat(std::string(head.substr(0, digits)), "*",
                      std::string(metric.substr(head.size())));
}

std::string PlotScript(const v1::QueryMetricsResponse& metrics, std::string_view title,
                       const Terminal& terminal, std::string_view picture) {
  // By family, in order of first appearance.
  std::vector<std::pair<std::string, std::vector<int>>> plots;
  for (int i = 0; i < metrics.series_size(); ++i) {
    const std::string family = FamilyOf(metrics.series(i).metric());
    auto plot = std::find_if(plots.begin(), plots.end(),
                             [&](const auto& one) { return one.first == family; });
    if (plot == plots.end()) plot = plots.insert(plots.end(), {family, {}});
    plot->second.push_back(i);
  }
  const int height = terminal.height * std::max(static_cast<int>(plots.size()), 1);
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
                            terminal.width, height);
      break;
    case Terminal::Kind::kPng:
      absl::StrAppendFormat(&script,
                            "set terminal pngcairo noenhanced size %d,%d font 'DejaVu Sans,10'\n",
                            terminal.width, height);
      break;
  }
  absl::StrAppend(&script, "set output ", GnuplotString(picture),
                  "\nset encoding utf8\nset termoption noenhanced\nset xlabel 'outer update'\n");
  if (!text) absl::StrAppend(&script, "set grid\n");
  for (int i = 0; i < metrics.series_size(); ++i) AddData(metrics.series(i), i, &script);
  // The text terminal does not support multiplot; its plots follow each other.
  if (!text) absl::StrAppendFormat(&script, "set multiplot layout %d,1\n", plots.size());
  for (const auto& [family, members] : plots) {
    const bool alone = members.size() == 1;
    const std::string what = alone ? metrics.series(members[0]).metric() : family;
    absl::StrAppend(&script, "set title ", GnuplotString(std::string(title) + ": " + what),
                    alone ? "\nset key off\n" : "\nset key outside right top\n",
                    PlotCommand(metrics, members, text));
  }
  if (!text) absl::StrAppend(&script, "unset multiplot\n");
  absl::StrAppend(&script, "unset output\n");
  return script;
}

}  // namespace mentor::ctl
