#include "common/metric_info.h"

#include <absl/strings/str_format.h>

namespace mentor {

std::string_view PanelName(MetricInfo::Panel panel) {
  switch (panel) {
    case MetricInfo::Panel::kNone:
      return "none";
    case MetricInfo::Panel::kSmall:
      return "small";
    case MetricInfo::Panel::kOwn:
      return "own";
    case MetricInfo::Panel::kCompared:
      return "compared";
  }
  return "none";
}

const MetricInfo* FindMetric(const MetricTable& table, std::string_view name) {
  const MetricInfo* family = nullptr;
  for (const MetricInfo& metric : table) {
    if (metric.name == name) return &metric;
    if (family != nullptr || !metric.name.ends_with('*')) continue;
    const std::string_view begin = std::string_view(metric.name).substr(0, metric.name.size() - 1);
    if (name.size() > begin.size() && name.starts_with(begin)) family = &metric;
  }
  return family;
}

absl::Status CheckDeclared(const MetricTable& table, const std::map<std::string, double>& reported,
                           const std::string& part) {
  for (const auto& [name, value] : reported) {
    if (FindMetric(table, name) != nullptr) continue;
    return absl::InternalError(absl::StrFormat(
        "%s reports '%s', which it does not declare; add it to .metrics of its registration", part,
        name));
  }
  return absl::OkStatus();
}

}  // namespace mentor
