// What users do to experiments that are there: settings, pause, resume, cancel, delete. The arrows
// between states are those of store/state.h; whoever runs the experiment is told to look and makes
// it so. An experiment is changed by its owner and by admins, others are refused with NOT_OWNER.
// Not for new experiments (creation.h). Threads may share: each change is one transaction of the
// store.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/rpc/auth.h"
#include "mentor/v1/experiment_service.pb.h"
#include "meta_learner/control/service_options.h"

namespace mentor::meta_learner {

// Whether it is to be deleted as soon as it ends: the mark of a deletion by force. It is meant for
// this experiment alone, never for what is made from it.
bool IsDeletedAtEnd(const v1::Experiment& experiment);

absl::StatusOr<v1::Experiment> UpdateExperiment(const ServiceOptions& options,
                                                const v1::UpdateExperimentRequest& request,
                                                const rpc::Caller& caller);
absl::StatusOr<v1::Experiment> PauseExperiment(const ServiceOptions& options,
                                               const v1::PauseExperimentRequest& request,
                                               const rpc::Caller& caller);
absl::StatusOr<v1::Experiment> ResumeExperiment(const ServiceOptions& options,
                                                const v1::ResumeExperimentRequest& request,
                                                const rpc::Caller& caller);
absl::StatusOr<v1::Experiment> CancelExperiment(const ServiceOptions& options,
                                                const v1::CancelExperimentRequest& request,
                                                const rpc::Caller& caller);
// OK: gone. UNAVAILABLE without a reason: on its way.
absl::Status DeleteExperiment(const ServiceOptions& options,
                              const v1::DeleteExperimentRequest& request,
                              const rpc::Caller& caller);

}  // namespace mentor::meta_learner
