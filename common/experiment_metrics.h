// Metrics that every experiment has, whatever its rule: results of its agents, counts, times. The
// experiment's runner reports them; rules, inner loops and curricula declare their own
// (metric_info.h). Functions without state; threads may share.
#pragma once

#include "common/metric_info.h"

namespace mentor {

const MetricTable& CommonMetrics();

}  // namespace mentor
