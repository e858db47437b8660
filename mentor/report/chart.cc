#include "mentor/report/chart.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>
#include <nlohmann/json.hpp>

#include "mentor/report/table.h"
#include "mentor/report/words.h"

namespace mentor::report {
namespace {

using Json = nlohmann::ordered_json;
using Kind = Table::Cell::Kind;

// A screen has no room for more places, and a table with more rows is unreadable; the CSV file has
// all.
constexpr size_t kPlacesDrawn = 1200;
constexpr size_t kRowsShown = 60;
constexpr size_t kSeriesDescribed = 8;

// Five digits suffice for a picture.
Json Rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  return std::strtod(absl::StrFormat("%.5g", value).c_str(), nullptr);
}

// Returns every n-th of `size` places, and the last one.
std::vector<size_t> ThinnedTo(size_t size, size_t most) {
  std::vector<size_t> kept;
  const size_t stride = std::max<size_t>(1, (size + most - 1) / most);
  for (size_t i = 0; i < size; i += stride) kept.push_back(i);
  if (size > 0 && kept.back() != size - 1) kept.push_back(size - 1);
  return kept;
}

Json AxisJson(const Axis& axis) {
  Json json = {{"label", axis.label}};
  if (axis.low) json["low"] = Rounded(*axis.low);
  if (axis.high) json["high"] = Rounded(*axis.high);
  if (axis.log) json["log"] = true;
  if (axis.whole) json["whole"] = true;
  if (!axis.names.empty()) json["names"] = axis.names;
  return json;
}

const char* KindName(Series::Kind kind) {
  switch (kind) {
    case Series::Kind::kLine:
      return "line";
    case Series::Kind::kPoints:
      return "points";
    case Series::Kind::kLineAndPoints:
      return "both";
    case Series::Kind::kIntervals:
      return "intervals";
    case Series::Kind::kBars:
      break;
  }
  return "bars";
}

Json SeriesJson(const Series& series) {
  Json json = {{"name", series.name},
               {"colour", series.style.colour},
               {"point", series.style.point},
               {"dash", series.style.dash},
               {"kind", KindName(series.kind)}};
  if (!series.single.empty()) json["small"] = true;
  if (series.right) json["right"] = true;
  Json x = Json::array(), y = Json::array(), low = Json::array(), high = Json::array();
  for (const size_t i : ThinnedTo(series.places.size(), kPlacesDrawn)) {
    const Place& place = series.places[i];
    const bool known = std::isfinite(place.y.mean);
    x.push_back(Rounded(place.x));
    y.push_back(Rounded(place.y.mean));
    low.push_back(known ? Rounded(place.y.low) : nullptr);
    high.push_back(known ? Rounded(place.y.high) : nullptr);
  }
  json["x"] = std::move(x);
  json["y"] = std::move(y);
  if (series.intervals && series.kind != Series::Kind::kBars) {
    json["low"] = std::move(low);
    json["high"] = std::move(high);
  }
  return json;
}

Json PanelJson(const Panel& panel) {
  Json json = {{"x", AxisJson(panel.x)}, {"y", AxisJson(panel.y)}, {"series", Json::array()}};
  for (const Series& series : panel.series) {
    if (series.right) json["right"] = AxisJson(panel.right);
    json["series"].push_back(SeriesJson(series));
  }
  for (const Mark& mark : panel.marks)
    json["marks"].push_back({{"at", Rounded(mark.at)}, {"label", mark.label}});
  if (panel.transposed) json["transposed"] = true;
  if (panel.stacked) json["stacked"] = true;
  if (panel.image.rows > 0) {
    Json values = Json::array();
    for (const double value : panel.image.values) values.push_back(Rounded(value));
    json["image"] = {{"rows", panel.image.rows},
                     {"columns", panel.image.columns},
                     {"values", std::move(values)}};
  }
  return json;
}

// Returns the name of a place, or its number.
std::string WhereWords(const Panel& panel, double x) {
  const auto index = static_cast<size_t>(std::max(0L, std::lround(x)));
  return index < panel.x.names.size() ? panel.x.names[index] : ShortNumber(x);
}

std::string ValueWords(const Series& series, const Panel& panel, const Interval& y) {
  return ShortNumber(y.mean) +
         (series.intervals && !panel.stacked
              ? absl::StrFormat(" [%s, %s]", ShortNumber(y.low), ShortNumber(y.high))
              : "");
}

std::string DescribeSeries(const Panel& panel, const Series& series) {
  std::vector<Place> places = series.places;
  std::erase_if(places, [](const Place& place) { return !std::isfinite(place.y.mean); });
  if (places.empty()) return "";
  const auto less = [](const Place& a, const Place& b) { return a.y.mean < b.y.mean; };
  const auto [least, greatest] = std::minmax_element(places.begin(), places.end(), less);
  if (series.kind == Series::Kind::kPoints) {
    return absl::StrFormat("%s, %s, from %s to %s", series.name, Several(places.size(), "point"),
                           ShortNumber(least->y.mean), ShortNumber(greatest->y.mean));
  }
  if (places.size() == 1) return series.name + " " + ValueWords(series, panel, places[0].y);
  if (!panel.x.names.empty() && places.size() <= 6) {
    std::vector<std::string> parts;
    for (const Place& place : places)
      parts.push_back(WhereWords(panel, place.x) + " " + ShortNumber(place.y.mean));
    return series.name + ": " + absl::StrJoin(parts, ", ");
  }
  return absl::StrFormat("%s from %s at %s to %s at %s, greatest %s at %s", series.name,
                         ShortNumber(places.front().y.mean), WhereWords(panel, places.front().x),
                         ShortNumber(places.back().y.mean), WhereWords(panel, places.back().x),
                         ShortNumber(greatest->y.mean), WhereWords(panel, greatest->x));
}

// The table has one row per place and one column per series when all series share their places.
// Otherwise it has one row per place and series.
Table NumberTable(const Figure& figure, const Panel& panel) {
  const std::string title =
      panel.title.empty() ? panel.y.label : panel.title + ": " + panel.y.label;
  const std::string x = panel.x.label.empty() ? "what" : panel.x.label;
  if (panel.image.rows > 0) {
    Table table(figure.name, title,
                {{"row", Kind::kNumber}, {"least"}, {"greatest"}, {"greatest at column"}});
    for (const size_t r : ThinnedTo(static_cast<size_t>(panel.image.rows), kRowsShown)) {
      const auto begin =
                     panel.image.values.begin() + static_cast<ptrdiff_t>(r) * panel.image.columns,
                 end = begin + panel.image.columns;
      const auto greatest = std::max_element(begin, end);
      table.Add({Table::Number(static_cast<double>(r), absl::StrCat(r)),
                 Table::Text(ShortNumber(*std::min_element(begin, end))),
                 Table::Text(ShortNumber(*greatest)), Table::Text(absl::StrCat(greatest - begin))});
    }
    return table;
  }
  const auto place_of = [&](double value) {
    return panel.x.names.empty() ? value : std::round(value);
  };
  bool alike = !panel.transposed;
  for (const Series& series : panel.series) {
    alike =
        alike && series.places.size() == panel.series[0].places.size() &&
        std::equal(series.places.begin(), series.places.end(), panel.series[0].places.begin(),
                   [&](const Place& a, const Place& b) { return place_of(a.x) == place_of(b.x); });
  }
  const auto cell = [&](const Series& series, const Place& place) {
    return std::isfinite(place.y.mean)
               ? Table::Number(place.y.mean, ValueWords(series, panel, place.y))
               : Table::None();
  };
  if (alike) {
    std::vector<Table::Column> columns = {{x}};
    for (const Series& series : panel.series) {
      columns.push_back({series.FullName(), Kind::kNumber});
    }
    Table table(figure.name, title, columns);
    for (const size_t i : ThinnedTo(panel.series[0].places.size(), kRowsShown)) {
      const bool any =
          std::any_of(panel.series.begin(), panel.series.end(),
                      [&](const Series& series) { return std::isfinite(series.places[i].y.mean); });
      if (!any) continue;
      std::vector<Table::Cell> row = {Table::Text(WhereWords(panel, panel.series[0].places[i].x))};
      for (const Series& series : panel.series) row.push_back(cell(series, series.places[i]));
      table.Add(std::move(row));
    }
    return table;
  }
  if (panel.transposed) {
    Table table(figure.name, title, {{"of"}, {panel.y.label, Kind::kNumber}});
    for (const Series& series : panel.series) {
      for (const Place& place : series.places)
        table.Add({Table::Text(WhereWords(panel, place.x)), cell(series, place)});
    }
    return table;
  }
  Table table(figure.name, title, {{"series"}, {x}, {panel.y.label, Kind::kNumber}});
  for (const Series& series : panel.series) {
    const size_t most = std::max<size_t>(5, kRowsShown / panel.series.size());
    for (const size_t i : ThinnedTo(series.places.size(), most)) {
      const Place& place = series.places[i];
      if (!std::isfinite(place.y.mean)) continue;
      table.Add(
          {Table::Text(series.name), Table::Text(WhereWords(panel, place.x)), cell(series, place)});
    }
  }
  return table;
}

}  // namespace

std::string ShortNumber(double value) {
  if (!std::isfinite(value)) return "-";
  if (value == std::floor(value) && std::abs(value) < 1e15) {
    return (value < 0 ? "-" : "") + Grouped(static_cast<uint64_t>(std::abs(value)));
  }
  if (std::abs(value) >= 1e4) {
    return (value < 0 ? "-" : "") + Grouped(static_cast<uint64_t>(std::llround(std::abs(value))));
  }
  return absl::StrFormat("%.3g", value);
}

std::string ChartData(const std::vector<Figure>& figures) {
  Json json = Json::object();
  for (const Figure& figure : figures) {
    Json panels = Json::array();
    for (const Panel& panel : figure.panels) panels.push_back(PanelJson(panel));
    json[figure.name] = {{"panels", std::move(panels)}};
  }
  return absl::StrReplaceAll(json.dump(-1, ' ', false, Json::error_handler_t::replace),
                             {{"<", "\\u003c"}});
}

std::string Describe(const Panel& panel) {
  if (const Image& image = panel.image; image.rows > 0) {
    const auto greatest = std::max_element(image.values.begin(), image.values.end());
    const auto index = static_cast<int>(greatest - image.values.begin());
    return absl::StrFormat(
        "Map of %d rows (%s) and %d columns (%s); the greatest value, %s, is in "
        "row %d, column %d.",
        image.rows, panel.y.label, image.columns, panel.x.label, ShortNumber(*greatest),
        index / image.columns, index % image.columns);
  }
  std::string text = Capitalised(panel.y.label) +
                     (panel.x.label.empty() ? "" : " against " + panel.x.label) + ". ";
  std::vector<std::string> parts;
  size_t left_out = 0;
  for (const Series& series : panel.series) {
    if (!series.single.empty()) continue;
    if (parts.size() == kSeriesDescribed) {
      ++left_out;
    } else if (std::string words = DescribeSeries(panel, series); !words.empty()) {
      parts.push_back(std::move(words));
    }
  }
  absl::StrAppend(&text, absl::StrJoin(parts, "; "));
  if (left_out > 0) absl::StrAppend(&text, "; and ", left_out, " more");
  return text + ".";
}

std::string NumbersOf(const Figure& figure) {
  std::string html;
  for (const Panel& panel : figure.panels) html += NumberTable(figure, panel).Html();
  return html;
}

}  // namespace mentor::report
