// Metrics of an experiment in the control API: recorded values, thinned out, and descriptions.
// Metrics of this process have common/metrics.h. Thread-safe.
#pragma once

#include <absl/status/statusor.h>

#include "mentor/v1/experiment_service.pb.h"
#include "meta_learner/store/records.h"
#include "meta_learner/store/results.h"

namespace mentor::meta_learner {

// Returns NOT_FOUND, with the nearest known name, for a name that the experiment has not recorded
// and its parts do not declare.
absl::Status CheckMetricNames(Results* results, const v1::Experiment& experiment,
                              const google::protobuf::RepeatedPtrField<std::string>& names);
// Returns at most max_points for each series: neighbours are merged into mean, least, greatest and
// count. Values that are not finite are left out.
absl::StatusOr<v1::QueryMetricsResponse> QueryMetrics(Records* records, Results* results,
                                                      const v1::QueryMetricsRequest& request);
// Lists metrics in natural order. Undeclared metrics, such as those of other builds, have numbers
// but no descriptions.
absl::StatusOr<v1::ListMetricsResponse> ListMetrics(Records* records, Results* results,
                                                    const v1::ListMetricsRequest& request);

}  // namespace mentor::meta_learner
