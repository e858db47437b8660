// Figures as gnuplot scripts, for papers, slides and pages without JavaScript.
#include <algorithm>
#include <cmath>
#include <set>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>

#include "mentor/report/figures.h"
#include "mentor/report/gnuplot.h"
#include "mentor/report/theme.h"

namespace mentor::report {
namespace {

// @NAME@ is a colour of the theme, @faint NAME@ its transparent form, and @file@ the figure's name.
// Text is never "enhanced", so names appear unchanged.
constexpr char kPrologue[] = R"(# Draws @file@.svg and @file@.png: gnuplot @file@.gp
set encoding utf8
set datafile separator comma
set border 3 linecolor rgb '@muted@' linewidth 1
set tics nomirror textcolor rgb '@ink@' scale 0.5
set grid ytics linecolor rgb '@grid@' linetype 1 linewidth 1
set key above left horizontal reverse Left samplen 2 textcolor rgb '@ink@' noenhanced
set xlabel textcolor rgb '@ink@' noenhanced
set ylabel textcolor rgb '@ink@' noenhanced
set y2label textcolor rgb '@ink@' noenhanced
set title textcolor rgb '@ink@' noenhanced
set style fill transparent solid 0.16 noborder
do for [picture in 'svg png'] {
  if (picture eq 'svg') {
    set terminal svg size @width@,@height@ font 'DejaVu Sans,13' background '@page@' \
      name '@file@' noenhanced
  } else {
    set terminal pngcairo size 2*@width@,2*@height@ font 'DejaVu Sans,10' fontscale 2 \
      linewidth 2 pointscale 2 background '@page@' noenhanced
  }
  set output '@file@.'.picture
)";

constexpr size_t kShortName = 24;  // Two names of this length fit side by side in a legend.

// Wraps text at words; a long word stays whole.
std::vector<std::string> Wrapped(const std::string& text, size_t length) {
  std::vector<std::string> lines;
  for (const std::string& word : std::vector<std::string>(absl::StrSplit(text, ' '))) {
    if (lines.empty() || lines.back().size() + 1 + word.size() > length)
      lines.push_back(word);
    else
      absl::StrAppend(&lines.back(), " ", word);
  }
  return lines;
}

// Returns a text of several lines as a gnuplot expression.
std::string Lines(const std::vector<std::string>& lines) {
  std::vector<std::string> quoted;
  for (const std::string& line : lines) quoted.push_back(GnuplotString(line));
  return absl::StrJoin(quoted, ".\"\\n\".");
}

// Puts names down the left side. They cannot be tic labels, which are formats and lose a %.
std::string NamesOnTheLeft(const std::vector<std::string>& names) {
  constexpr size_t kLineLength = 30;
  std::vector<std::string> tics;
  std::string labels;
  size_t longest = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::vector<std::string> lines = Wrapped(names[i], kLineLength);
    for (const std::string& line : lines) longest = std::max(longest, line.size());
    tics.push_back(absl::StrFormat("'' %d", i));
    absl::StrAppendFormat(&labels,
                          "set label %d %s at graph 0, first %d right offset -1,%.2f textcolor rgb "
                          "'@ink@'\n",
                          100 + i, Lines(lines), i, 0.5 * static_cast<double>(lines.size() - 1));
  }
  return absl::StrFormat("set ytics (%s)\nset lmargin %d\n%s", absl::StrJoin(tics, ", "),
                         longest + 2, labels);
}

std::string End(const std::optional<double>& value) {
  return value ? absl::StrFormat("%.6g", *value) : "*";
}

// Returns a step of 1, 2 or 5 times a power of ten that gives at most `most` marks.
double Step(double span, int most) {
  const double least = span / most, power = std::pow(10, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

// Returns the range of x: of the places, or of the values in a transposed panel.
std::pair<double, double> Range(const Panel& panel, const Axis& axis) {
  double low = INFINITY, high = -INFINITY;
  for (const Series& series : panel.series) {
    for (const Place& place : series.places) {
      const double ends[] = {panel.transposed ? place.y.low : place.x,
                             panel.transposed ? place.y.high : place.x};
      for (const double value : ends) {
        if (!std::isfinite(value)) continue;
        low = std::min(low, value);
        high = std::max(high, value);
      }
    }
  }
  return {axis.low.value_or(low), axis.high.value_or(high)};
}

// Returns the settings of one axis. `which` is "x", "y" or "y2"; `marks` limits the ticks, 0:
// gnuplot's choice.
std::string AxisCommands(const std::string& which, const Axis& axis, const Panel& panel,
                         int marks) {
  std::string text =
      absl::StrFormat("set %slabel %s\nset %srange [%s:%s]\n", which, GnuplotString(axis.label),
                      which, End(axis.low), End(axis.high));
  absl::StrAppend(&text, axis.log ? "set" : "unset", " logscale ", which, "\n");
  if (!axis.names.empty() && panel.transposed) return text + NamesOnTheLeft(axis.names);
  if (!axis.names.empty()) {
    std::vector<std::string> tics;
    // The labels share the width.
    for (size_t i = 0; i < axis.names.size(); ++i) {
      tics.push_back(
          absl::StrFormat("%s %d", Lines(Wrapped(axis.names[i], 84 / axis.names.size())), i));
    }
    return text + absl::StrFormat("set %stics (%s)\n", which, absl::StrJoin(tics, ", "));
  }
  const std::string mirror = which == "y2" ? "nomirror textcolor rgb '@ink@' " : "";
  if (which == "x" && !axis.log) {
    const auto [low, high] = Range(panel, axis);
    if (high > low && (marks > 0 || axis.whole)) {
      double step = Step(high - low, marks > 0 ? marks : 8);
      if (axis.whole) step = std::max(1.0, step);
      return text + absl::StrFormat("set xtics %.6g\n", step);
    }
  }
  return text + "set " + which + "tics " + mirror + "autofreq\n" +
         (axis.log ? "set format " + which + " '%.0e'\n" : "set format " + which + " '% h'\n");
}

// Columns of the CSV file.
struct Columns {
  int x, y, low, high;
};

std::string SeriesCommands(const std::string& file, const Series& series, const Panel& panel,
                           size_t block, const Columns& c, bool in_key) {
  const std::string data =
      absl::StrFormat("  '%s' index %d skip %d using ", file, block, block == 0 ? 1 : 0);
  const std::string colour = absl::StrFormat("linecolor rgb '@%s@' ", series.style.colour);
  const std::string title =
      in_key && series.single.empty() ? "title " + GnuplotString(series.name) : "notitle";
  const std::string axes = series.right ? "axes x1y2 " : "";
  const std::string line = absl::StrFormat("%slinewidth 2 dashtype %d ", colour, series.style.dash);
  const std::string point = absl::StrFormat("pointtype %d pointsize ", series.style.point);
  switch (series.kind) {
    case Series::Kind::kLine:
      if (!series.single.empty()) {
        return absl::StrFormat("%s%d:%d %swith lines linecolor rgb '@faint %s@' linewidth 1 %s",
                               data, c.x, c.y, axes, series.style.colour, title);
      }
      return absl::StrFormat("%s%d:%d %swith lines %s%s", data, c.x, c.y, axes, line, title);
    case Series::Kind::kLineAndPoints:
      return absl::StrFormat("%s%d:%d %swith linespoints %s%s0.7 %s", data, c.x, c.y, axes, line,
                             point, title);
    case Series::Kind::kPoints:
      return absl::StrFormat("%s%d:%d %swith points %s%s0.3 %s", data, c.x, c.y, axes, colour,
                             point, title);
    case Series::Kind::kIntervals:
      if (panel.transposed) {
        return absl::StrFormat("%s%d:%d:%d:%d with xerrorbars %slinewidth 2 %s1 %s", data, c.y, c.x,
                               c.low, c.high, colour, point, title);
      }
      return absl::StrFormat("%s%d:%d:%d:%d with yerrorbars %slinewidth 2 %s1 %s", data, c.x, c.y,
                             c.low, c.high, colour, point, title);
    case Series::Kind::kBars:
      break;
  }
  const double half = 0.46 * BarWidth(series);
  return absl::StrFormat(
      "%s%d:(%s):($%d-%.6g):($%d+%.6g):(%s):(%s) with boxxyerror fillcolor rgb '@%s@' fillstyle "
      "solid 0.85 noborder %s",
      data, c.x, absl::StrFormat("$%d", c.y), c.x, half, c.x, half,
      panel.stacked ? absl::StrFormat("$%d", c.low) : "0",
      absl::StrFormat("$%d", panel.stacked ? c.high : c.y), series.style.colour, title);
}

std::string PanelCommands(const Figure& figure, const Panel& panel, size_t* block) {
  const bool several = figure.panels.size() > 1;
  const std::string file = figure.name + ".csv";
  std::string text = several ? "set title " + GnuplotString(panel.title) + "\n" : "unset title\n";
  text += "unset arrow\nunset label\n";
  const Axis& bottom = panel.transposed ? panel.y : panel.x;
  const Axis& left = panel.transposed ? panel.x : panel.y;
  text += AxisCommands("x", bottom, panel, several ? 5 : 0);
  text += AxisCommands("y", left, panel, 0);
  if (panel.image.rows > 0) {
    return text + absl::StrFormat(
                      "set style fill solid 1 noborder\nunset key\nunset grid\nset yrange "
                      "[%s:%s] reverse\nset palette defined (0 '@page@', 1 '@%s@')\n"
                      "plot '%s' skip 1 using 1:2:3 with image notitle\n",
                      End(panel.y.low), End(panel.y.high), "blue", file);
  }
  const bool right = std::any_of(panel.series.begin(), panel.series.end(),
                                 [](const Series& series) { return series.right; });
  text += right ? AxisCommands("y2", panel.right, panel, 0) : "unset y2tics\nunset y2label\n";
  if (panel.transposed) {
    text += absl::StrFormat(
        "set grid xtics noytics linecolor rgb '@grid@'\nset yrange [%.1f:-0.6] noreverse\n",
        static_cast<double>(panel.x.names.size()) - 0.4);
  }
  for (size_t m = 0; m < panel.marks.size(); ++m) {
    const Mark& mark = panel.marks[m];
    text += absl::StrFormat(
        "set arrow %d from first %.6g, graph 0 to first %.6g, graph 1 nohead back linecolor rgb "
        "'@muted@' dashtype 3\n",
        m + 1, mark.at, mark.at);
    if (mark.label.empty()) continue;
    text += absl::StrFormat(
        "set label %d %s at first %.6g, graph 0.96 offset 0.5,0 font ',10' textcolor rgb "
        "'@muted@'\n",
        m + 1, GnuplotString(mark.label), mark.at);
  }
  // A single name needs no legend; long names stand below each other.
  std::set<std::string> names;
  size_t longest = 0;
  for (const Series& series : panel.series) {
    if (!series.single.empty()) continue;
    names.insert(series.name);
    longest = std::max(longest, series.name.size());
  }
  const bool in_key = names.size() > 1 && !panel.transposed;
  if (!in_key) {
    text += "unset key\n";
  } else {
    text += absl::StrFormat("set key above left %s%s\n",
                            longest > kShortName ? "vertical maxrows " : "horizontal ",
                            longest > kShortName ? absl::StrCat(names.size()) : "");
    if (longest > 3 * kShortName) text += "set key font ',9'\n";
    // Leave room for a dash and a gap.
    const bool dashed = std::any_of(panel.series.begin(), panel.series.end(),
                                    [](const Series& series) { return series.style.dash == 2; });
    text += absl::StrFormat("set key samplen %d\n", dashed ? 5 : 2);
  }
  const int first = several ? 2 : 1;  // Column of the series.
  const int value = first + (figure.panels[0].x.names.empty() ? 2 : 3);
  const Columns columns{first + 1, value, value + 1, value + 2};
  std::vector<std::string> bands, faint, plots;
  for (size_t s = 0; s < panel.series.size(); ++s) {
    const Series& series = panel.series[s];
    const size_t own = (*block)++;
    const bool has_band = series.intervals && series.kind != Series::Kind::kIntervals &&
                          series.kind != Series::Kind::kBars;
    if (has_band) {
      bands.push_back(absl::StrFormat(
          "  '%s' index %d skip %d using %d:%d:%d with filledcurves fillcolor rgb '@%s@' notitle",
          file, own, own == 0 ? 1 : 0, columns.x, columns.low, columns.high, series.style.colour));
    }
    (series.single.empty() ? plots : faint)
        .push_back(SeriesCommands(file, series, panel, own, columns, in_key));
  }
  // Draw single updates and meta-seeds first, so that they lie behind their means.
  std::vector<std::string> commands = bands;
  commands.insert(commands.end(), faint.begin(), faint.end());
  commands.insert(commands.end(), plots.begin(), plots.end());
  return text + "plot \\\n" + absl::StrJoin(commands, ", \\\n") + "\n";
}

}  // namespace

std::string Script(const Figure& figure) {
  std::string commands;
  const bool several = figure.panels.size() > 1;
  const size_t columns = static_cast<size_t>(figure.columns);
  if (several) {
    commands += absl::StrFormat("set multiplot layout %d,%d\nset xtics font ',10'\n",
                                (figure.panels.size() + columns - 1) / columns, columns);
  }
  size_t block = 0, legend = 0;
  for (const Panel& panel : figure.panels) {
    commands += PanelCommands(figure, panel, &block);
    std::set<std::string> names;
    bool is_long = false;
    for (const Series& series : panel.series) {
      if (!series.single.empty()) continue;
      names.insert(series.name);
      is_long = is_long || series.name.size() > kShortName;
    }
    if (names.size() > 1) legend = std::max(legend, is_long ? names.size() : 1);
  }
  if (several) commands += "unset multiplot\n";
  const size_t rows = several ? 0 : legend;
  std::vector<std::pair<std::string, std::string>> replacements = {
      {"@file@", figure.name},
      {"@width@", absl::StrFormat("%d", kFigureWidth)},
      {"@height@", absl::StrFormat("%d", figure.height + 16 * static_cast<int>(rows))}};
  for (const Colour& colour : Theme()) {
    const std::string name(colour.name), light(colour.light);
    replacements.emplace_back("@" + name + "@", light);
    replacements.emplace_back("@faint " + name + "@", "#99" + light.substr(1));  // Opacity 60 %.
  }
  return absl::StrReplaceAll(kPrologue + commands + "  unset output\n}\n", replacements);
}

}  // namespace mentor::report
