// Metrics of experiments: numbers that a part reports for each outer update. A rule or an inner
// loop declares them in a table beside its registration, and all that shows them reads the table:
// reports, comparisons, the control API, `mentor rule show`, docs/experiment_metrics.md. The
// metrics of processes are others: common/metrics.h. Functions without state; threads may share.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>

namespace mentor {

struct MetricInfo {
  // Where reports draw it by outer update.
  enum class Panel {
    kNone,      // Nowhere: it is in training.csv and in the control API.
    kSmall,     // Small, among the other numbers of the rule and its agents.
    kOwn,       // A panel of the outer rule, with its running mean.
    kCompared,  // That, and a figure of its own where runs are compared: it then means the same in
                // every rule that declares it.
  };

  // A last `*` stands for a number or an environment: "reward_mean/*". Whole names go first.
  std::string name;
  // "s" is a time: it differs from run to run and is kept apart from results.
  std::string unit = "1";
  std::string help = {};
  std::string label = {};  // Of its axis; empty: the name.
  Panel panel = Panel::kSmall;
  bool log_scale = false;  // Where all values are above 0.

  // Label and unit: "entropy, nat".
  std::string Axis() const;
};

using MetricTable = std::vector<MetricInfo>;

std::string_view PanelName(MetricInfo::Panel panel);  // "none", "small", "own", "compared"

// Null when the table does not declare it.
const MetricInfo* FindMetric(const MetricTable& table, std::string_view name);

// INTERNAL, with what to add where, when something is reported that the table does not declare.
// part: "outer rule 'maml'".
absl::Status CheckDeclared(const MetricTable& table, const std::map<std::string, double>& reported,
                           const std::string& part);

}  // namespace mentor
