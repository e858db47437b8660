// The table of meta-training as CSV, one outer update a row: the report's training.csv, and the
// metrics.csv that grows while a run is at work. Pure; threads may share.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "common/natural_order.h"
#include "mentor/report/report.h"

namespace mentor::report {

// In the order in which people look for them: episode_2 before episode_10.
struct NaturalOrder {
  bool operator()(const std::string& a, const std::string& b) const { return NaturalLess(a, b); }
};
using MetricSet = std::set<std::string, NaturalOrder>;
// All names of metrics in the points.
MetricSet MetricNames(const std::vector<TrainingPoint>& points);
// "outer_update,env_steps,NAME,...\n"
std::string TrainingHeader(const MetricSet& names);
// A line for each point, under that header; cells of metrics that a point lacks are empty.
std::string TrainingRows(const std::vector<TrainingPoint>& points, const MetricSet& names);

}  // namespace mentor::report
