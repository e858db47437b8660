// Lists the parts that a spec can name, and the tasks of benchmarks, for the control API. Pure
// functions; threads may share.
#pragma once

#include <string>

#include <absl/status/statusor.h>

#include "mentor/v1/experiment_service.pb.h"

namespace mentor::meta_learner {

absl::StatusOr<v1::ListCatalogueResponse> ListCatalogue(const v1::ListCatalogueRequest& request);
// Makes only the tasks of the requested page; the others are only counted.
absl::StatusOr<v1::ListTasksResponse> ListTasks(const v1::ListTasksRequest& request);

}  // namespace mentor::meta_learner
