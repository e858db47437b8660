// All metrics of an experiment: those of every one, its rule's and its inner loop's. Functions
// without state; threads may share.
#pragma once

#include <string_view>

#include "common/experiment_metrics.h"

namespace mentor::meta_learner {

struct RuleEntry;

// All that an experiment with this rule reports: those of every experiment, the rule's own, and
// those of its inner loop. No name is declared twice.
MetricTable AllMetrics(const RuleEntry& entry);
// The same by the rule's name; those of every experiment when no such rule is known here, as in
// runs of other builds.
MetricTable AllMetrics(std::string_view rule);

}  // namespace mentor::meta_learner
