// All metrics of an experiment: the common ones, its rule's and its inner loop's. Functions without
// state; threads may share.
#pragma once

#include <string_view>

#include "common/metric_info.h"

namespace mentor::meta_learner {

struct RuleEntry;

// All metrics that an experiment with this rule reports. No name is declared twice.
MetricTable AllMetrics(const RuleEntry& entry);
// The same by the rule's name. Returns the common metrics when this build does not know the rule.
MetricTable AllMetrics(std::string_view rule);

}  // namespace mentor::meta_learner
