#include "cli/report/training_table.h"

#include <absl/strings/str_cat.h>

#include "cli/report/csv.h"

namespace mentor::report {

MetricSet MetricNames(const std::vector<TrainingPoint>& points) {
  MetricSet names;
  for (const TrainingPoint& point : points) {
    for (const auto& [name, value] : point.metrics) names.insert(name);
  }
  return names;
}

std::string TrainingHeader(const MetricSet& names) {
  std::vector<std::string> cells = {"outer_update", "env_steps"};
  cells.insert(cells.end(), names.begin(), names.end());
  return CsvLine(cells);
}

std::string TrainingRows(const std::vector<TrainingPoint>& points, const MetricSet& names) {
  std::string text;
  for (const TrainingPoint& point : points) {
    std::vector<std::string> cells = {absl::StrCat(point.outer_update),
                                      absl::StrCat(point.env_steps)};
    for (const std::string& name : names) {
      const auto found = point.metrics.find(name);
      cells.push_back(found == point.metrics.end() ? "" : CsvNumber(found->second));
    }
    text += CsvLine(cells);
  }
  return text;
}

}  // namespace mentor::report
