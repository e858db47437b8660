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
  int height = 24;  // The same, of each plot.
};

// "seg*" of "seg2" and "seg*/push-v3" of "seg2/push-v3": what differs in a number belongs together.
std::string FamilyOf(std::string_view metric);

// A family over each other, families one below the other. Where the points of a line that is alone
// stand for several values, the range between the least and the greatest is a band behind it (not
// as text). `picture` is the file that gnuplot writes.
std::string PlotScript(const v1::QueryMetricsResponse& metrics, std::string_view title,
                       const Terminal& terminal, std::string_view picture);

}  // namespace mentor::ctl
