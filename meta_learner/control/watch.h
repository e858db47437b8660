// What streams of experiments and of points say next. See streams.h for who asks.
#pragma once

#include <memory>

#include <absl/status/statusor.h>

#include "common/metrics.h"
#include "mentor/v1/experiment_service.pb.h"
#include "meta_learner/control/streams.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

// For ListExperiments too: continues after this revision, for a watch of these names.
std::string MakeResumeToken(const ExperimentStore& store, int64_t revision,
                            const std::vector<std::string>& names = {});

// INVALID_ARGUMENT for a bad name or token.
absl::StatusOr<PullStream<v1::WatchExperimentsResponse>::Produce> WatchExperiments(
    ExperimentStore* store, const v1::WatchExperimentsRequest& request,
    prometheus::Histogram* lag_events);

// One message for each outer update, in order; the last one comes with the experiment's end.
absl::StatusOr<PullStream<v1::WatchMetricsResponse>::Produce> WatchMetrics(
    ExperimentStore* store, const v1::WatchMetricsRequest& request);

}  // namespace mentor::meta_learner
