// The table of meta-training as CSV, one outer update a row: the report's training.csv, and the
// metrics.csv that grows while a run is at work. Pure; threads may share.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "mentor/report/report.h"

namespace mentor::report {

// All names of metrics in the points.
std::set<std::string> MetricNames(const std::vector<TrainingPoint>& points);
// "outer_update,env_steps,NAME,...\n"
std::string TrainingHeader(const std::set<std::string>& names);
// A line for each point, under that header; cells of metrics that a point lacks are empty.
std::string TrainingRows(const std::vector<TrainingPoint>& points,
                         const std::set<std::string>& names);

}  // namespace mentor::report
