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
  int height = 24;  // The same, of each metric.
};

// One plot below the other. Where points stand for several values, the range between the least and
// the greatest is a band behind the line (not as text). `picture` is the file that gnuplot writes.
std::string PlotScript(const v1::QueryMetricsResponse& metrics, std::string_view title,
                       const Terminal& terminal, std::string_view picture);

}  // namespace mentor::ctl
