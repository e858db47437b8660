// Lists pages of experiments, with a token to start a watch from. filter.h defines the filter's
// language, store/paging.h the pages. Thread-safe.
#pragma once

#include <absl/status/statusor.h>

#include "mentor/v1/experiment_service.pb.h"
#include "meta_learner/store/records.h"

namespace mentor::meta_learner {

absl::StatusOr<v1::ListExperimentsResponse> ListExperiments(
    Records* records, const v1::ListExperimentsRequest& request);

}  // namespace mentor::meta_learner
