// Metrics of an experiment for users. Pure functions; threads may share.
#pragma once

#include <map>
#include <string>

#include "common/metric_info.h"
#include "mentor/v1/experiment_service.pb.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

// At most max_points for each series: neighbours are merged into mean, least, greatest and count.
// Values that are not finite are left out.
v1::QueryMetricsResponse MergePoints(const std::map<std::string, Series>& points,
                                     uint32_t max_points);

// Metrics that are not declared, as those of other builds, have numbers and nothing else.
v1::ListMetricsResponse DescribeMetrics(const std::map<std::string, Series>& points,
                                        const MetricTable& declared);

}  // namespace mentor::meta_learner
