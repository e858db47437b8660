// Metrics of an experiment for users: what has been recorded, thinned out, and what it means. Not
// for the metrics of this process (common/metrics.h). Threads may share.
#pragma once

#include <absl/status/statusor.h>

#include "mentor/v1/experiment_service.pb.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

// NOT_FOUND, with the nearest, for a name that the experiment has not recorded and its parts do not
// declare.
absl::Status CheckMetricNames(ExperimentStore* store, const v1::Experiment& experiment,
                              const google::protobuf::RepeatedPtrField<std::string>& names);
// At most max_points for each series: neighbours are merged into mean, least, greatest and count.
// Values that are not finite are left out.
absl::StatusOr<v1::QueryMetricsResponse> QueryMetrics(ExperimentStore* store,
                                                      const v1::QueryMetricsRequest& request);
// In natural order. Metrics that are not declared, as those of other builds, have numbers and
// nothing else.
absl::StatusOr<v1::ListMetricsResponse> ListMetrics(ExperimentStore* store,
                                                    const v1::ListMetricsRequest& request);

}  // namespace mentor::meta_learner
