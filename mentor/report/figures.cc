#include "mentor/report/figures.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include <absl/strings/ascii.h>
#include <absl/strings/str_format.h>

#include "common/check.h"
#include "mentor/report/csv_table.h"

namespace mentor::report {

namespace {

// Stacks the bars: sets the ends of each bar on top of the previous series. All series share their
// places.
void Stack(std::vector<Series>* series) {
  std::vector<double> heights;
  for (Series& one : *series) {
    heights.resize(one.places.size(), 0.0);
    one.intervals = true;
    for (size_t i = 0; i < one.places.size(); ++i) {
      Interval& y = one.places[i].y;
      y.low = heights[i];
      y.high = heights[i] += y.mean;
    }
  }
}

}  // namespace

Style StyleOf(v1::EvaluationMethod method) {
  switch (method) {
    case v1::EVALUATION_METHOD_LEARNED:
      return {"blue", 7, 1};
    case v1::EVALUATION_METHOD_LEARNED_BEST:
      return {"purple", 9, 1};
    case v1::EVALUATION_METHOD_LEARNED_AVERAGE:
      return {"orange", 13, 1};
    case v1::EVALUATION_METHOD_PPO_SPARSE:
      return {"vermillion", 5, 2};
    case v1::EVALUATION_METHOD_PPO_SHAPED:
      return {"green", 11, 4};
    case v1::EVALUATION_METHOD_PPO_SPARSE_AND_SHAPED:
      return {"brown", 13, 2};
    case v1::EVALUATION_METHOD_PPO_POTENTIAL:
      return {"sky", 15, 2};
    case v1::EVALUATION_METHOD_RANDOM_SIGNAL:
      return {"grey", 3, 4};
    default:
      MENTOR_CHECK(false);
      return {};
  }
}

Style StyleOf(size_t place) {
  const Style others[] = {{"blue", 7, 1},  {"purple", 9, 1}, {"orange", 13, 1}, {"sky", 15, 1},
                          {"olive", 4, 1}, {"ink", 6, 1},    {"brown", 2, 1}};
  const size_t count = std::size(others);
  Style style = others[place % count];
  style.dash = 1 + 2 * static_cast<int>(place / count % 2);
  return style;
}

std::string FileName(const std::string& name) {
  std::string plain = name;
  for (char& c : plain) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-') c = '_';
  }
  return plain;
}

double BarWidth(const Series& series) {
  double width = INFINITY;
  for (size_t i = 1; i < series.places.size(); ++i) {
    const double gap = series.places[i].x - series.places[i - 1].x;
    if (gap > 0) width = std::min(width, gap);
  }
  return std::isfinite(width) ? width : 1;
}

void AddFigure(Figure figure, Drawing* drawing) {
  for (Panel& panel : figure.panels) {
    if (panel.stacked) Stack(&panel.series);
    for (Series& series : panel.series) {
      if (!panel.y.log) continue;
      std::erase_if(series.places, [](const Place& place) { return place.y.mean <= 0; });
      for (Place& place : series.places) place.y.low = std::max(place.y.low, 1e-300);
    }
    std::erase_if(panel.series, [](const Series& series) {
      return std::none_of(series.places.begin(), series.places.end(),
                          [](const Place& place) { return std::isfinite(place.y.mean); });
    });
  }
  std::erase_if(figure.panels,
                [](const Panel& panel) { return panel.series.empty() && panel.image.rows < 1; });
  if (!figure.panels.empty()) drawing->figures.push_back(std::move(figure));
}

CsvFile TableOf(const Figure& figure) {
  const std::string file = figure.name + ".csv";
  if (const Image& image = figure.panels[0].image; image.rows > 0) {
    CsvTable table({"column", "row", "value"});
    for (int r = 0; r < image.rows; ++r) {
      for (int c = 0; c < image.columns; ++c) {
        table.Add(CsvTable::Row().Number(c).Number(r).Number(image.values[r * image.columns + c]));
      }
    }
    return {file, table.text()};
  }
  const bool panels = figure.panels.size() > 1;
  const bool names = !figure.panels[0].x.names.empty();
  std::vector<std::string> header;
  if (panels) header.push_back("panel");
  header.insert(header.end(), {"series", "x"});
  if (names) header.push_back("name");
  header.insert(header.end(), {"value", "low", "high"});
  CsvTable table(header);
  bool first = true;
  for (const Panel& panel : figure.panels) {
    for (const Series& series : panel.series) {
      if (!first) table.AddGap(), table.AddGap();
      first = false;
      // One empty line breaks a line; two would begin another series.
      bool any = false, gap = false;
      for (const Place& place : series.places) {
        if (!std::isfinite(place.y.mean)) {
          gap = any;
          continue;
        }
        if (gap) table.AddGap();
        any = true, gap = false;
        CsvTable::Row row;
        if (panels) row.Text(panel.title);
        row.Text(series.FullName()).Number(place.x);
        if (names) {
          const auto index = static_cast<size_t>(std::lround(place.x));
          row.Text(index < panel.x.names.size() ? panel.x.names[index] : "");
        }
        if (series.intervals)
          row.Mean(place.y);
        else
          row.Number(place.y.mean).Empty(2);
        table.Add(std::move(row));
      }
    }
  }
  return {file, table.text()};
}

StepUnit StepUnitOf(double most) {
  if (most >= 2e6) return {"million ", 1e6};
  if (most >= 2e3) return {"thousand ", 1e3};
  return {};
}

int RunningWindow(size_t updates) {
  return std::clamp(static_cast<int>(updates / 10), 1, kRunningMeanMax);
}

std::string RunningWords(int window) {
  return window == 1 ? "lines join them"
                     : absl::StrFormat("lines are the mean of the last %d updates", window);
}

double HighestOf(const std::vector<Series>& series) {
  double highest = 0;
  for (const Series& one : series) {
    for (const Place& place : one.places) {
      for (const double value : {place.y.mean, place.y.high})
        if (std::isfinite(value)) highest = std::max(highest, value);
    }
  }
  return highest;
}

void FitRates(Panel* panel) {
  const double highest = HighestOf(panel->series);
  panel->y.low = 0;
  panel->y.high = highest > 0.5 ? 1 : std::max(0.1, 1.1 * highest);
}

}  // namespace mentor::report
