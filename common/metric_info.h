// Metrics of experiments: numbers that a part reports for each outer update. A rule or an inner
// loop declares them in a table beside its registration. Reports, comparisons, the control API,
// `mentor rule show` and docs/experiment_metrics.md all use that table. common/metrics.h has the
// metrics of processes. Functions without state; threads may share.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>

namespace mentor {

struct MetricInfo {
  // How reports plot it by outer update.
  enum class Panel {
    kNone,   // No plot: only in training.csv and in the control API.
    kSmall,  // Small plot, among the other numbers of the rule and its agents.
    kOwn,    // Panel of the outer rule, with its running mean.
    // Like kOwn, and a figure in comparisons of runs; must mean the same in every rule that
    // declares it.
    kCompared,
  };

  // A trailing `*` stands for a number or an environment: "reward_mean/*". Exact names take
  // precedence.
  std::string name;
  // "s" marks a time: it differs from run to run and is kept apart from results.
  std::string unit = "1";
  std::string help = {};
  std::string label = {};  // Label of its axis; empty: the name.
  Panel panel = Panel::kSmall;
  bool log_scale = false;  // Only for metrics whose values are all above 0.
};

using MetricTable = std::vector<MetricInfo>;

// Metrics that every experiment has, whatever its rule: results of its agents, counts, times. The
// experiment's runner reports them (experiment_metrics.cc).
const MetricTable& CommonMetrics();

std::string_view PanelName(MetricInfo::Panel panel);  // "none", "small", "own", "compared"

// Returns null if the table does not declare the metric.
const MetricInfo* FindMetric(const MetricTable& table, std::string_view name);

// INTERNAL if a reported name is not in the table; the message says what to add where. part: "outer
// rule 'maml'".
absl::Status CheckDeclared(const MetricTable& table, const std::map<std::string, double>& reported,
                           const std::string& part);

}  // namespace mentor
