// The table of meta-training as CSV, one row per outer update: the records' training.csv, and
// the metrics.csv that grows during a run. Pure; thread-safe.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "cli/report/report.h"
#include "common/edit_distance.h"

namespace mentor::report {

// Order in which people look for names: episode_2 before episode_10.
struct NaturalOrder {
  bool operator()(const std::string& a, const std::string& b) const { return NaturalLess(a, b); }
};
using MetricSet = std::set<std::string, NaturalOrder>;
// Returns all names of metrics in the points.
MetricSet MetricNames(const std::vector<TrainingPoint>& points);
// Returns "outer_update,env_steps,NAME,...\n".
std::string TrainingHeader(const MetricSet& names);
// Returns a line per point under that header; missing metrics are empty cells.
std::string TrainingRows(const std::vector<TrainingPoint>& points, const MetricSet& names);

}  // namespace mentor::report
