// Pages of experiments for users, with a token to watch from. Not for the filter's language
// (filter.h), nor for what a page is (store/paging.h). Threads may share.
#pragma once

#include <absl/status/statusor.h>

#include "mentor/v1/experiment_service.pb.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

absl::StatusOr<v1::ListExperimentsResponse> ListExperiments(
    ExperimentStore* store, const v1::ListExperimentsRequest& request);

}  // namespace mentor::meta_learner
