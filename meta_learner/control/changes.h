// Changes of existing experiments by users: settings, pause, resume, cancel, delete. store/state.h
// defines the transitions between states. The scheduler is notified and carries out the change.
// Only the owner and admins may change an experiment; other callers get NOT_OWNER. New experiments
// are made in creation.h. Thread-safe: each change is one transaction of the store.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/rpc/auth.h"
#include "mentor/v1/experiment_service.pb.h"
#include "meta_learner/control/service_options.h"

namespace mentor::meta_learner {

// True if the experiment must be deleted as soon as it ends: the mark of a deletion by force.
// Clones must not inherit this mark.
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
// Returns OK when the experiment is gone, and UNAVAILABLE without a reason while it is still
// ending.
absl::Status DeleteExperiment(const ServiceOptions& options,
                              const v1::DeleteExperimentRequest& request,
                              const rpc::Caller& caller);

}  // namespace mentor::meta_learner
