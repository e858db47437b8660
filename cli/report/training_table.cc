#include "cli/report/training_table.h"

#include <utility>

#include <absl/strings/str_cat.h>

#include "cli/report/csv_table.h"

namespace mentor::report {

MetricSet MetricNames(const std::vector<TrainingPoint>& points) {
  MetricSet names;
  for (const TrainingPoint& point : points) {
    for (const auto& [name, value] : point.metrics) names.insert(name);
  }
  return names;
}

std::string TrainingHeader(const MetricSet& names) {
  std::string line = "outer_update,env_steps";
  for (const std::string& name : names) absl::StrAppend(&line, ",", CsvField(name));
  return line + "\n";
}

std::string TrainingRows(const std::vector<TrainingPoint>& points, const MetricSet& names) {
  std::string text;
  for (const TrainingPoint& point : points) {
    absl::StrAppend(&text, point.outer_update, ",", point.env_steps);
    for (const std::string& name : names) {
      const auto found = point.metrics.find(name);
      absl::StrAppend(&text, ",", found == point.metrics.end() ? "" : CsvNumber(found->second));
    }
    text += '\n';
  }
  return text;
}

}  // namespace mentor::report
