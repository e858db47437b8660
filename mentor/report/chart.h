// Figures on the page: data for page.js, which draws them with Chart.js, a text description for
// readers who cannot see them, and tables of their numbers. Pure functions.
//
// The data are one JSON object: figures by name, each {"panels": [PANEL]}.
//   PANEL    {"x": AXIS, "y": AXIS, "right": AXIS, "series": [SERIES], "marks": [{"at", "label"}],
//             "transposed", "stacked", "image": {"rows", "columns", "values"}}
//   AXIS     {"label", "low", "high", "log", "whole", "names"}
//   SERIES   {"name", "colour", "point", "dash", "kind": "line" | "points" | "both" | "intervals" |
//             "bars", "small", "right", "x": [], "y": [], "low": [], "high": []}
// Fields that are false, empty or unset are left out. A null in y breaks the line.
#pragma once

#include <string>
#include <vector>

#include "mentor/report/figures.h"

namespace mentor::report {

// Returns the JSON data. The text contains no "<", so it is safe inside of <script>.
std::string ChartData(const std::vector<Figure>& figures);

// Describes a panel in words: its quantity, and the course of each series.
std::string Describe(const Panel& panel);

// Returns HTML tables of the numbers; long tables are thinned.
std::string NumbersOf(const Figure& figure);

// Formats a number as "0.45", "1,536,000" or "1.2e-05".
std::string ShortNumber(double value);

}  // namespace mentor::report
