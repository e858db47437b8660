// The gnuplot script that draws metrics over outer updates. Pure.
#pragma once

#include <string>
#include <string_view>

#include "mentor/v1/experiment_service.pb.h"

namespace mentor::ctl {

struct Terminal {
  enum class Kind { kText, kSvg, kPng };
  Kind kind = Kind::kText;
  int width = 80;   // Characters, or pixels.
  int height = 24;  // Per plot, in the same unit.
};

// Returns the family of a metric, which replaces its number: "seg*" for "seg2", and "seg*/push-v3"
// for "seg2/push-v3".
std::string FamilyOf(std::string_view metric);

// Draws the members of a family in one plot, and the plots below each other. When the points of a
// single line merge several values, a band behind it shows the least to the greatest value (not as
// text). gnuplot writes the file `picture`.
std::string PlotScript(const v1::QueryMetricsResponse& metrics, std::string_view title,
                       const Terminal& terminal, std::string_view picture);

}  // namespace mentor::ctl
