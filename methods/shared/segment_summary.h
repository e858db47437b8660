// What every loop with a learned reward tells of a segment: its signals, and the episodes that
// ended in it.
#pragma once

#include "agents/segment.h"
#include "common/metric_info.h"
#include "methods/base/inner_loop.h"

namespace mentor::learner {

// Adds the statistics of SegmentMetrics. They tell whether agents still see new episodes
// (methods/meta_gradient/README.md#why-the-published-runs-failed, 1 and 2).
void ReportSegment(const Segment& segment, LoopReport* report);
MetricTable SegmentMetrics();

}  // namespace mentor::learner
