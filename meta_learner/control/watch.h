// Produces the messages of watches of experiments and metrics (streams.h).
#pragma once

#include <memory>

#include <absl/status/statusor.h>

#include "common/metrics.h"
#include "mentor/v1/experiment_service.pb.h"
#include "meta_learner/control/streams.h"
#include "meta_learner/store/records.h"
#include "meta_learner/store/results.h"

namespace mentor::meta_learner {

// Returns a token that resumes a watch of these names after this revision. ListExperiments uses it
// too.
std::string MakeResumeToken(const Records& records, int64_t revision,
                            const std::vector<std::string>& names = {});

// Returns INVALID_ARGUMENT for a bad name or token.
absl::StatusOr<PullStream<v1::WatchExperimentsResponse>::Produce> WatchExperiments(
    Records* records, const v1::WatchExperimentsRequest& request,
    prometheus::Histogram* lag_events);

// Streams one message for each outer update, in order, until the experiment ends.
absl::StatusOr<PullStream<v1::WatchMetricsResponse>::Produce> WatchMetrics(
    Records* records, Results* results, const v1::WatchMetricsRequest& request);

}  // namespace mentor::meta_learner
