// What a spec can name, and the tasks of benchmarks, for users of the control API. Pure functions;
// threads may share.
#pragma once

#include <string>

#include <absl/status/statusor.h>

#include "mentor/v1/experiment_service.pb.h"

namespace mentor::meta_learner {

absl::StatusOr<v1::ListCatalogueResponse> ListCatalogue(const v1::ListCatalogueRequest& request);
// Of a page the tasks are made, of the others only how many there are.
absl::StatusOr<v1::ListTasksResponse> ListTasks(const v1::ListTasksRequest& request);

}  // namespace mentor::meta_learner
