// Figures as the page shows them: data for page.js, which draws them with Chart.js; words for those
// who cannot see them; tables of their numbers. Pure functions.
//
// The data are one JSON object: figures by name, each {"panels": [PANEL]}.
//   PANEL    {"x": AXIS, "y": AXIS, "right": AXIS, "series": [SERIES], "marks": [{"at", "label"}],
//             "transposed", "stacked", "image": {"rows", "columns", "values"}}
//   AXIS     {"label", "low", "high", "log", "whole", "names"}
//   SERIES   {"name", "colour", "point", "dash", "kind": "line" | "points" | "both" | "intervals" |
//             "bars", "small", "right", "x": [], "y": [], "low": [], "high": []}
// What is false, empty or not given is left out. y is null where a line breaks.
#pragma once

#include <string>
#include <vector>

#include "mentor/report/figures.h"

namespace mentor::report {

// Safe inside of <script>: it has no "<".
std::string ChartData(const std::vector<Figure>& figures);

// What a panel shows, in words: which quantity, and how each series goes.
std::string Describe(const Panel& panel);

// HTML tables of the numbers, long ones thinned.
std::string NumbersOf(const Figure& figure);

// "0.45", "1,536,000", "1.2e-05"
std::string ShortNumber(double value);

}  // namespace mentor::report
